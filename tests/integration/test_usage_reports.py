"""No verb, and not the library, leaves another program's files in the user's home or tries to reach the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsat_tasks.runtime.privacy import SWITCHES
from published_clone import make_repository
from task_folder import Row, link_encoders, write_rows, write_task

HIDDEN = ("AIRFLOW_", "DVC_", "FSAT_", "XDG_", *SWITCHES)
"""Beginnings of the names of variables that the verbs do not inherit from the tests. fsat has set SWITCHES in this process."""
NO_NETWORK = ("unshare", "--map-root-user", "--net")
"""Command prefix that gives a process a network without any interface."""
CALLS = "connect,sendto,sendmsg,sendmmsg"

VERBS = """
set -e
fsat() { python -m fsat_tasks.cli "$@"; }
fsat init new --samples samples.csv
fsat validate toy
fsat run toy
fsat status
fsat history toy
fsat predict toy 'a cat in the garden'
fsat apply toy samples.csv --out labelled
fsat watch toy traffic.csv || [ $? -eq 4 ]
fsat promote toy 1 --reason again
fsat diff toy 1 1
fsat snapshot toy
fsat checkout toy 1
fsat gc --dry-run
python -c "
from fsat_tasks import FewShotClassifier
texts, labels = ['a cat', 'a dog', 'a cow', 'one', 'two', 'ten'], ['animal'] * 3 + ['number'] * 3
assert len(FewShotClassifier(rungs=('prototypes', 'probe')).fit(texts, labels).predict(['a pig'])) == 1"
"""


@dataclass(frozen=True)
class Traced:
    """The home after the verbs, empty before, and the network calls that they made; None if nothing could watch them."""

    home: Path
    calls: list[str] | None


def environment(folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    places = {"HOME": folder / "home", "FSAT_DATA": folder / "here" / "data", "FSAT_STORE": folder / "store"}
    return own | {"PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])} | {name: str(at) for name, at in places.items()}


def can_watch() -> bool:
    """Return whether this user may make a network of its own and trace its processes."""
    if not shutil.which("unshare") or not shutil.which("strace"):
        return False
    return subprocess.run([*NO_NETWORK, "strace", "-f", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Traced:
    folder = tmp_path_factory.mktemp("traced")
    make_repository(folder / "here", folder / "hub.git", remote=None)
    (folder / "here" / ".dvc" / "config").write_text("", "utf-8")  # so that DVC's own setting does not switch its reports off
    rows: list[Row] = [(f"{animal} in the {place}", "animal") for animal in ("a cat", "a dog") for place in ("house", "field")]
    rows += [(f"{number} plus {other}", "number") for number in ("one", "two") for other in ("six", "ten")]
    write_task(folder / "here" / "data" / "toy", rows, gates={"min_accuracy": 0, "min_macro_f1": 0, "max_ece": 1})
    write_rows(folder / "samples.csv", rows)
    (folder / "traffic.csv").write_text("text\na pig in the garden\nthree plus nine\nfour plus one\n", "utf-8")
    link_encoders(demo_store, folder / "store")
    (folder / "home").mkdir()
    watch = can_watch()
    tracer = [*NO_NETWORK, "strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", "calls.txt"] if watch else []
    done = subprocess.run(
        [*tracer, "sh", "-c", VERBS], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Traced(folder / "home", (folder / "calls.txt").read_text("utf-8").splitlines() if watch else None)


def test_no_verb_leaves_a_file_in_an_empty_home(traced: Traced) -> None:
    assert [str(path) for path in traced.home.rglob("*") if path.is_file()] == []


def test_no_verb_looks_up_a_name_or_connects(traced: Traced) -> None:
    if traced.calls is None:
        pytest.skip("no strace, or no network of one's own for this user: nothing can watch the calls")
    assert [line for line in traced.calls if "AF_INET" in line] == []


@pytest.mark.parametrize("name", SWITCHES)
def test_own_setting_of_a_user_is_kept(name: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", f"import os, fsat_tasks; print(os.environ[{name!r}])"],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), name: "own"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "own\n"


def test_home_that_cannot_be_written_gives_no_foreign_line_and_the_log_stays_json(
    read_only_disk: Path, make_task: Callable[..., str], data_root: Path, demo_store: Path, tmp_path: Path, toy_rows: list[Row]
) -> None:
    (data_root / "support-intents").symlink_to(Path(__file__).parents[2] / "data" / "support-intents")
    own = environment(tmp_path) | {"HOME": str(read_only_disk), "FSAT_DATA": str(data_root), "FSAT_LOG": "json"}
    for store, *verb in ((tmp_path / "store", "validate", make_task(toy_rows)), (demo_store, "predict", "support-intents", "hi")):
        done = subprocess.run(
            [sys.executable, "-m", "fsat_tasks.cli", *verb],
            env=own | {"FSAT_STORE": str(store)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert all(json.loads(line)["logger"].startswith("fsat_tasks") for line in done.stderr.splitlines())
