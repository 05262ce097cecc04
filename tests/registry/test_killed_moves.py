"""Moves that are killed, and many at the same time: the registry reads well, and no entry is lost."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import ChampionChangedError
from kill_at import TESTS
from promoted_models import TASK, actions, build, files, record, registry_of

# Killed

DIE = """
import sys
from pathlib import Path
from fsat_tasks.registry.registry import Registry
from kill_at import kill_at
root, move, where = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if where == "in the line":
    kill_at("history.jsonl", room=50)
else:
    kill_at(".champion.json", room=11 if where == "in the pointer" else None)
ours = Registry(root, "task")
ours.rollback(3) if move == "rollback" else ours.promote("1", 3)
"""


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("where", ["in the line", "before the pointer", "in the pointer"])
@pytest.mark.parametrize(("move", "to"), [("rollback", 2), ("promote", 1)])
def test_killed_move_leaves_a_registry_that_reads_well_and_is_made_or_finished_once(
    move: str, to: int, where: str, tmp_path: Path
) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert run(DIE, tmp_path, move, where).wait(60) == -(signal.SIGKILL if where == "before the pointer" else signal.SIGXFSZ)
    assert (files(tmp_path)["history.jsonl"][-1:] == b"\n") == (where != "in the line")
    assert files(tmp_path).get(".champion.json") == (b'{\n  "action' if where == "in the pointer" else None)
    written = [] if where == "in the line" else [(move, to)]
    assert registry.version() == (to if written else 3)
    assert actions(tmp_path) == [("promote", 1), ("promote", 2), ("promote", 3), *written]
    again = registry.rollback(3, to=2) if move == "rollback" else registry.promote("1", 3)
    assert again["version"] == to
    assert registry.champion() == registry.history()[-1]
    assert actions(tmp_path) == [("promote", 1), ("promote", 2), ("promote", 3), (move, to)]


def test_killed_rollback_that_is_said_again_does_not_go_two_versions_back(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    run(DIE, tmp_path, "rollback", "before the pointer").wait(60)
    with pytest.raises(
        ChampionChangedError, match="version 2 now by a move that was killed; it is finished now, and nothing else was moved"
    ):
        registry.rollback(expected=registry.version())
    assert registry.version() == 2


def test_run_after_a_killed_rollback_finishes_it_and_keeps_it(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    run(DIE, tmp_path, "rollback", "before the pointer").wait(60)
    assert record(tmp_path, 3) == "kept"
    assert registry.version() == 2


def test_lost_pointer_comes_back_from_the_history(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    registry.rollback(expected=3)
    pointer = tmp_path / "registry" / TASK / "champion.json"
    before = pointer.read_bytes()
    pointer.unlink()
    assert record(tmp_path, 3) == "kept"
    assert pointer.read_bytes() == before


BACK_AND_FORTH = """
import sys
from pathlib import Path
from fsat_tasks.registry.registry import Registry
ours = Registry(Path(sys.argv[1]), "task")
while True:
    ours.rollback(ours.version())
    ours.promote("3", ours.version())
    print("there and back", flush=True)
"""


def test_process_killed_at_any_moment_leaves_a_registry_that_reads_well(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    wait = random.Random(0)
    for _ in range(10):
        registry.promote("3", registry.version()) if registry.version() != 3 else None
        process = run(BACK_AND_FORTH, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "there and back\n"
        time.sleep(wait.uniform(0, 0.1))
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        history, champion = registry.history(), registry.champion()
        assert champion in history
        assert record(tmp_path, 1) in ("kept", "unchanged", "promoted")
        assert registry.champion() == registry.history()[-1]
    assert len(registry.history()) > 23


# At the same time

PUBLISH = """
import sys
from pathlib import Path
from fsat_tasks.errors import ChampionChangedError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Store
root, by_hand = Path(sys.argv[1]), sys.argv[2] == "by hand"
ours, store = Registry(root, "task"), Store(root)
def insist(move):
    while True:
        try:
            return move(ours.version())
        except ChampionChangedError:
            pass  # another was between our look and our turn
print("ready", flush=True)
sys.stdin.readline()
for pair in sys.argv[3:]:
    model, decision = (store.find(step, key) for step, key in zip(("export", "publish"), pair.split(":")))
    assert insist(lambda version: ours.record(model, decision, version)) == "promoted"
    if by_hand:
        insist(lambda version: ours.rollback(version) if version > 1 else None)
print("done")
"""


def test_sixteen_processes_that_publish_at_once_lose_nothing(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 0)
    processes = []
    for number in range(16):
        pairs = [":".join(made.key for made in build(tmp_path, 1 + 3 * number + i)) for i in range(3)]
        processes.append(run(PUBLISH, tmp_path, "by hand" if number % 4 == 0 else "runs", *pairs))
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    while any(process.poll() is None for process in processes):  # a reader never sees anything half-done
        champion, history = registry.champion(), registry.history()
        assert champion is not None
        assert champion in history or champion in registry.history()
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 16
    lines = (tmp_path / "registry" / TASK / "history.jsonl").read_bytes().split(b"\n")
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == b""
    runs = [entry for entry in entries if entry["action"] == "promote"]
    assert [entry["version"] for entry in runs] == list(range(1, 50))  # no number twice, none left out, in order
    assert {entry["model"]["key"] for entry in runs} == {build(tmp_path, number)[0].key for number in range(49)}
    assert sum(entry["action"] == "rollback" for entry in entries) == 4 * 3
    assert len(entries) == 49 + 12
    assert registry.champion() == entries[-1]
