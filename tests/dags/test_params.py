"""No param of any DAG leads out of the data root, and none reaches a shell. Airflow itself runs in params_process.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"
GIVEN = ["fsat_apply.files", "fsat_tune.encoder", "fsat_tune.unlabelled", "fsat_watch.traffic"]
"""What a form takes as text that is not chosen from a list."""


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("params")
    task = folder / "data" / "task-0"
    task.mkdir(parents=True)
    (task / "task.yaml").write_text("samples: samples.csv\n", "utf-8")
    for file in (task / "samples.csv", folder / "outside.csv"):
        file.write_text("text,label\nmy card is gone,card\n", "utf-8")
    (task / "link.csv").symlink_to(folder / "outside.csv")
    (task / "up").symlink_to(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FSAT_", "DVC_"))}
    environment |= {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "FSAT_DATA": str(folder / "data"),
        "FSAT_STORE": str(folder / "store"),
    }
    command = [sys.executable, str(Path(__file__).with_name("params_process.py")), str(folder / "answer.json")]
    done = subprocess.run(
        [*command, str(folder / "outside.csv")], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((folder / "answer.json").read_text("utf-8"))
    return found | {"owned": [str(path) for path in folder.rglob("owned*")], "store": (folder / "store").exists()}


def test_every_free_text_of_a_form_is_tried_here(answer: dict[str, Any]) -> None:
    assert answer["errors"] == {}
    assert answer["free"] == GIVEN


@pytest.mark.parametrize("given", [*GIVEN, "event.task", "found.file"])
def test_hostile_value_is_bad_input(answer: dict[str, Any], given: str) -> None:
    said = answer["said"][given]
    assert len(said) == 20
    assert {value[:50]: what for value, what in said.items() if what != "bad input"} == {}


def test_nothing_was_run_or_written(answer: dict[str, Any]) -> None:
    assert answer["owned"] == []
    assert not answer["store"]
