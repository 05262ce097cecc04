"""A run that is killed in the middle of a step, and repeated, ends with the same artefacts as one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.steps.order import STEPS
from kill_at import TESTS

Run = Callable[..., "subprocess.CompletedProcess[str]"]

REPOSITORY = Path(__file__).parents[2]

DIE = """
import sys
from fsat_tasks.cli.app import main
from kill_at import kill_at
kill_at(sys.argv[1])
sys.argv = ["fsat", "run", "support-intents"]
main()
"""


def run_until(pattern: str, store: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo task in a process that is killed when it opens a file for writing whose path has the pattern."""
    environment = {**os.environ, "FSAT_DATA": str(REPOSITORY / "data"), "FSAT_STORE": str(store)}
    command = [sys.executable, "-c", DIE, pattern]
    return subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)


def digests(store: Path) -> dict[str, set[str]]:
    """Return step -> digests of its whole artefacts."""
    found: dict[str, set[str]] = {}
    for path in store.glob("*/*/*/manifest.json"):
        if not path.parent.name.startswith("."):
            found.setdefault(path.parts[-4], set()).add(json.loads(path.read_text())["digest"])
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all kills: each run gets one step further than the last."""
    return tmp_path_factory.mktemp("killed")


@pytest.mark.parametrize("step", ["validate", "encoder", *list(STEPS)[1:]])
def test_killed_step_leaves_no_artefact_and_keeps_those_before(step: str, store: Path, demo_store: Path) -> None:
    before = digests(store)
    # the worst moment: every file of the step is written, the manifest is not
    result = run_until(f"/{step}/.*/manifest.json", store)
    assert result.returncode == -signal.SIGKILL, result.stderr
    after = digests(store)
    assert step not in after
    assert before.items() <= after.items()


def test_run_killed_before_the_pointer_moved_is_repeated_with_the_same_digests_and_one_entry(
    store: Path, demo_store: Path, fsat: Run
) -> None:
    assert run_until("/.champion.json", store).returncode == -signal.SIGKILL
    registry = store / "registry" / "support-intents"
    assert not (registry / "champion.json").exists()

    result = fsat("run", "support-intents", store=store)
    assert result.returncode == 0, result.stderr
    assert digests(store) == digests(demo_store)
    assert len((registry / "history.jsonl").read_text().splitlines()) == 1
    assert json.loads((registry / "champion.json").read_text())["version"] == 1
    leftovers = [path for path in store.glob("*/*/.*") if path.is_dir()]
    assert leftovers == []
