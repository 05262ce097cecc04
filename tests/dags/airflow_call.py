"""Calls of Airflow in a process of its own, with a home of its own: its settings and its logging touch no other test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DAGS = Path(__file__).parents[2] / "dags"


@dataclass(frozen=True)
class Answer:
    """The values that a script wrote, and the log of the tasks, which it printed."""

    values: dict[str, Any]
    log: str


def call_airflow(script: str, folder: Path, data: Path, store: Path, *arguments: object, **variables: str) -> Answer:
    """Run a script of this folder. Its arguments are the file for its answer, and the given ones as JSON, such as confs of runs.

    Args:
        folder: folder for Airflow's own files and the answer.
        variables: more variables of its environment.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FSAT_", "DVC_"))}
    environment |= {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "FSAT_DATA": str(data),
        "FSAT_STORE": str(store),
    }
    command = [sys.executable, str(Path(__file__).with_name(script)), str(folder / "answer.json"), *map(json.dumps, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Answer(json.loads((folder / "answer.json").read_text("utf-8")), done.stdout + done.stderr)
