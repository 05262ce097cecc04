"""The plugin that says in a run's note which task folder the run is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
from types import SimpleNamespace as Run
from fsat_notes import TaskNote

def note(dag_id="fsat_tune", conf=None, run_type="manual", events=(), note=None):
    run = Run(dag_id=dag_id, conf=conf, run_type=run_type, consumed_asset_events=[Run(extra=one) for one in events], note=note)
    TaskNote().on_dag_run_running(run, "started")
    print(repr(run.note))

note(conf={"task": "desk"})
note(conf={"task": "*"})
note(conf={"task": None})
note(run_type="scheduled")
note(run_type="asset_triggered", events=[{"task": "desk"}, {"task": "bills"}, {}])
note(conf={"task": "desk"}, note="Task desk, by fsat_tune_desk")
note(conf={"task": "desk"}, note="for Ann")
note("fsat_housekeeping", {"task": "desk"})
note("of_somebody_else", {"task": "desk"})
"""


def test_note_names_the_task_that_is_known_when_the_run_begins(repository: Path, tmp_path: Path) -> None:
    environment = {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(repository / "dags/plugins")}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert [eval(line) for line in done.stdout.splitlines()] == [
        "Task desk",
        "All tasks that have changed",
        None,
        "All tasks that have changed",
        "Task bills, desk, because of drift",
        "Task desk, by fsat_tune_desk",
        "Task desk\n\nfor Ann",
        None,
        None,
    ]
