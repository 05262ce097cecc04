"""Several processes that build one artefact, and builders that were killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fsat_tasks.store import Store
from small_artefacts import RECIPE, files_below, refuse, write_two

BUILD = """
import os, signal, sys, time
from pathlib import Path
from fsat_tasks.store import Recipe, Store
root, go, do = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def write(folder):
    (folder / "a.txt").write_text("by " + str(os.getpid()))
    (go.parent / f"ready-{os.getpid()}").touch()
    while not go.exists():
        time.sleep(0.002)
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
artefact = Store(root).build(Recipe("step", 1, {"seed": 0}, {"rows": "abc"}), write)
print((artefact.path / "a.txt").read_text(), artefact.digest, artefact.built)
"""


def start(root: Path, go: Path, do: str = "build") -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILD, str(root), str(go), do], stdout=subprocess.PIPE, text=True)


def wait_ready(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(folder.glob("ready-*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_processes_that_build_one_key_at_once_leave_one_whole_artefact_and_agree_on_it(tmp_path: Path) -> None:
    root, go = tmp_path / "store", tmp_path / "go"
    processes = [start(root, go) for _ in range(4)]
    wait_ready(tmp_path, 4)  # all are inside write
    go.touch()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    # each wrote something else, so equal answers mean that all speak of the one that stayed
    assert len({tuple(answer[:3]) for answer in answers}) == 1
    assert sorted(answer[3] for answer in answers) == ["False"] * 3 + ["True"]
    artefact = Store(root).build(RECIPE, refuse)
    assert artefact.digest == answers[0][2]
    assert files_below(root) == sorted(f"step/{RECIPE.key[:2]}/{RECIPE.key}/{name}" for name in ("a.txt", "manifest.json"))


def test_killed_process_leaves_no_artefact_and_the_next_build_removes_its_folder(tmp_path: Path) -> None:
    root, go = tmp_path / "store", tmp_path / "go"
    go.touch()
    process = start(root, go, "die")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert Store(root).find(RECIPE.step, RECIPE.key) is None
    siblings = list((root / "step" / RECIPE.key[:2]).iterdir())
    assert [path.name.startswith(f".{RECIPE.key}.") for path in siblings] == [True]
    assert Store(root).build(RECIPE, write_two).built
    assert list((root / "step" / RECIPE.key[:2]).iterdir()) == [root / "step" / RECIPE.key[:2] / RECIPE.key]


def test_folders_of_living_processes_and_of_other_machines_are_left_alone(tmp_path: Path) -> None:
    parent = tmp_path / "step" / RECIPE.key[:2]
    ours, theirs = f".{RECIPE.key}.{socket.gethostname()}.{os.getpid()}.abc", f".{RECIPE.key}.elsewhere.1.abc"
    for name in (ours, theirs):
        (parent / name).mkdir(parents=True)
    Store(tmp_path).build(RECIPE, write_two)
    assert sorted(path.name for path in parent.iterdir()) == sorted([ours, theirs, RECIPE.key])


# Scratch folders


def test_scratch_is_gone_when_the_work_is_done_and_kept_when_it_failed(tmp_path: Path) -> None:
    store, recipe = Store(tmp_path), RECIPE
    with pytest.raises(KeyboardInterrupt), store.scratch(recipe) as folder:
        folder.mkdir()
        (folder / "half").write_text("done")
        raise KeyboardInterrupt
    with store.scratch(recipe) as again:
        assert (again / "half").read_text() == "done"
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_second_run_of_the_same_work_waits_for_the_first(tmp_path: Path) -> None:
    store, recipe, order = Store(tmp_path), RECIPE, list[str]()

    def second() -> None:
        with store.scratch(recipe):
            order.append("second")

    with store.scratch(recipe):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
