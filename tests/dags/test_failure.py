"""The last line in the log of a try that failed, as dags/fsat_dags/failure.py words it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DAGS = Path(__file__).parents[2] / "dags"
CALL = """
import builtins, json, logging, sys, types
import fsat_tasks.errors as errors
from fsat_dags.failure import NOTIFIERS

logging.basicConfig(stream=sys.stdout, format="%(message)s", force=True)
for kind, arguments, state, shown in json.loads(sys.argv[1]):
    error = (getattr(errors, kind, None) or getattr(builtins, kind))(*arguments) if kind else None
    ti = types.SimpleNamespace(task_id="model.tune", dag_id="fsat_tune", rendered_map_index=shown, state=state)
    for notifier in NOTIFIERS:
        notifier({"ti": ti, "params": {"task": "tickets"}, "exception": error})
"""
AGAIN, CLEAR = "It is tried again.", "When that is put right, clear the task."
CASES = {
    "bad input": (
        ("DataError", ["a.csv, line 3", "a label", "nothing", "Fill it in."], "failed", None),
        f"model.tune of tickets failed: a.csv, line 3: expected a label, got nothing. Fill it in. {CLEAR}",
    ),
    "no memory, the first time": (
        ("OutOfMemoryError", ["not enough memory for 8 rows"], "up_for_retry", "other"),
        f"model.tune of other failed: OutOfMemoryError: not enough memory for 8 rows. The traceback above says where. {AGAIN}",
    ),
    "a fault of ours": (
        ("KeyError", ["x"], "failed", "other"),
        f"model.tune of other failed: KeyError: 'x'. The traceback above says where. {CLEAR}",
    ),
    "no process any more": (
        (None, [], None, None),
        "model.tune of tickets is gone: it was killed, or its worker was lost. What it had done is kept.",
    ),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("failure")
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder),
        "PYTHONPATH": f"{DAGS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, "-c", CALL, json.dumps([case for case, _ in CASES.values()])]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(CASES, done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_step_task_cause_and_what_to_do(lines: dict[str, str], case: str) -> None:
    assert lines[case] == CASES[case][1]
