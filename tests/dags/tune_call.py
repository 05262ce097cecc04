"""Helpers of the tests of fsat_tune: a call of airflow_process.py, a quick task, and the states in which runs end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from airflow_call import DAGS, Answer, call_airflow

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "data" / "support-intents"
STEPS = ["validate", "extract", "tune", "evaluate", "export", "publish"]
TASKS = ["choose", "validate", "split", "encode", *STEPS[1:-1], "decide", "approve", "publish", "snapshot"]
"""The tasks of the DAG, in order."""
UNASKED = dict.fromkeys(TASKS, "success") | {"approve": "skipped"}
"""States of the tasks in a run that nobody has to approve."""
NO_POOL = {"encode": "skipped"}
"""States that differ if the task has no unlabelled texts."""
OPEN_GATES = "min_accuracy: 0.0, min_macro_f1: 0.0, min_class_recall: 0.0, max_ece: 1.0"


def ask_airflow(folder: Path, data: Path, store: Path, *confs: dict[str, Any], **variables: str) -> Answer:
    """Parse the DAG files and run fsat_tune once for each conf, with a secret in the environment."""
    secret = {"AIRFLOW_CONN_WAREHOUSE": "postgres://anna:planted-secret-AIRFLOW_CONN@127.0.0.1/warehouse"}
    return call_airflow("airflow_process.py", folder, data, store, *confs, **secret, **variables)


def call_dags(call: str, home: Path, **variables: str) -> str:
    """Return Python's output for a line that imports modules of dags/."""
    environment = os.environ | {"AIRFLOW_HOME": str(home), **variables}
    environment["PYTHONPATH"] = f"{DAGS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def few_samples(folder: Path, gates: str, more: str = "") -> None:
    """Write a task with the demo's samples alone. It is evaluated on left-out samples, and quick."""
    folder.mkdir(parents=True)
    shutil.copyfile(DEMO / "samples.csv", folder / "samples.csv")
    text = f"samples: samples.csv\ntune: {{body: 'off'}}\ngates: {{{gates}}}\n{more}"
    (folder / "task.yaml").write_text(text, "utf-8")


def copy_extracted(demo_store: Path, store: Path, *champions: str) -> None:
    """Link the demo's artefacts that take long to make into another store, and give tasks its champion."""
    for step in ("encoder", "encoder-int8", "extract"):
        shutil.copytree(demo_store / step, store / step, copy_function=os.link)
    for name in champions:
        shutil.copytree(demo_store / "registry" / "support-intents", store / "registry" / name)
