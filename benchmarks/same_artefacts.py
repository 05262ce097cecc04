"""Check that this working copy and an earlier revision make the same artefacts.

The demo task's steps are compared by key and digest.

A change that only moves, renames or rewords code must change no key and no digest:

    python -m benchmarks.same_artefacts REVISION [--budget SECONDS]

Both revisions run with the packages of this environment, each in an empty store. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TASK = "support-intents"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="of Git, such as HEAD~3")
    parser.add_argument("--budget", type=float, help="tune.budget_seconds of the task; 60 tunes its body")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = _copy_task(folder / "data", arguments.budget)
        other = folder / "code"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(other), arguments.revision], cwd=ROOT, check=True)
        try:
            before, now = (_run(code, data, folder / f"store-{number}") for number, code in enumerate((other, ROOT)))
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(other)], cwd=ROOT, check=True)
    return _compare(before, now)


def _copy_task(data: Path, budget: float | None) -> Path:
    """Make a data folder that holds only the demo task."""
    from ruamel.yaml import YAML

    shutil.copytree(ROOT / "data" / TASK, data / TASK)
    if budget is not None:
        yaml, path = YAML(), data / TASK / "task.yaml"
        task = yaml.load(path)
        task["tune"]["budget_seconds"] = budget
        yaml.dump(task, path)
    return data


def _run(code: Path, data: Path, store: Path) -> dict[str, Any]:
    """Return what the steps of a working copy have made. Exit code 3, which says that the model was held, is allowed."""
    environment = os.environ | {"PYTHONPATH": str(code), "FSAT_DATA": str(data), "FSAT_STORE": str(store)}
    done = subprocess.run(
        [sys.executable, "-m", "fsat_tasks.cli", "run", TASK, "--json"], cwd=code, env=environment, capture_output=True, text=True
    )
    if done.returncode not in (0, 3):
        sys.exit(f"{code}: exit code {done.returncode}\n{done.stderr}")
    said = json.loads(done.stdout)
    return dict(said["result"]["tasks"][0]["steps"] if "schema" in said else said)  # an older revision printed the steps alone


def _compare(before: dict[str, Any], now: dict[str, Any]) -> int:
    same = list(before) == list(now)
    for step in before:
        verdicts = [before[step][name] == now.get(step, {}).get(name) for name in ("key", "digest")]
        print(f"{step:<9} key {'same' if verdicts[0] else 'DIFFERS'}, digest {'same' if verdicts[1] else 'DIFFERS'}")
        same = same and all(verdicts)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
