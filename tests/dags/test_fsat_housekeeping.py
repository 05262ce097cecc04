"""The DAG of housekeeping: how its file parses, when it runs, and what a run of it does to a store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.store import Recipe, Store

REPOSITORY = Path(__file__).parents[2]

RUNS = """
import json, os, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
sys.path.insert(0, folder)
bag = DagBag(folder)
dag = bag.dags["fsat_housekeeping"]
clean = dag.get_task("clean")
answer = {
    "errors": bag.import_errors, "schedule": dag.schedule, "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
    "doc": dag.doc_md, "task_doc": clean.doc_md, "retries": clean.retries, "pool": clean.pool,
    "params": {name: {"default": dag.params[name], **dag.params.get_param(name).schema} for name in dag.params},
    "heavy": sorted({"torch", "onnxruntime", "great_expectations", "pandas", "fsat_tasks.housekeeping"} & set(sys.modules)),
    "runs": [],
}
if sys.argv[2:]:
    from airflow.models.xcom import XComModel
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session
    from sqlalchemy import select
    initdb()
    for conf in sys.argv[2:]:
        done = dag.test(run_conf=json.loads(conf))
        with create_session() as session:
            query = select(XComModel).where(XComModel.run_id == done.run_id, XComModel.key == "return_value")
            xcoms = [XComModel.deserialize_value(xcom) for xcom in session.scalars(query).all()]
            answer["runs"].append({"state": done.state, "xcoms": xcoms})
Path(sys.argv[1]).write_text(json.dumps(answer), "utf-8")
"""


def ask_airflow(folder: Path, store: Path, *confs: dict[str, Any], schedule: str = "") -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FSAT_", "DVC_"))}
    environment |= {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "FSAT_DATA": str(REPOSITORY / "data"),
        "FSAT_STORE": str(store),
        "FSAT_HOUSEKEEPING_SCHEDULE": schedule,
    }
    command = [sys.executable, "-c", RUNS, str(folder / "answer.json"), *map(json.dumps, confs)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text("utf-8"))
    return answer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with an artefact that nothing points to, and that nobody has used for twelve days."""
    store = Store(tmp_path_factory.mktemp("housekeeping") / "store")
    made = store.build(Recipe("made", 1, {}, {}), lambda folder: None)
    store.keep_until(made, made.path.stat().st_mtime - 12 * 86_400)
    os.utime(made.path, (0, 0))
    return store


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, store: Store) -> dict[str, Any]:
    confs: list[dict[str, Any]] = [{"dry_run": True}, {"dry_run": False, "keep_days": 30}, {"keep_days": 7}]
    return ask_airflow(tmp_path_factory.mktemp("runs"), store.root, *confs)


def test_it_parses_with_a_page_a_form_and_nothing_heavy(answer: dict[str, Any]) -> None:
    assert (answer["errors"], answer["heavy"]) == ({}, [])
    assert "Days to keep" in answer["doc"]
    assert answer["task_doc"]
    assert (answer["retries"], answer["pool"]) == (2, "default_pool")
    days, dry_run = answer["params"]["keep_days"], answer["params"]["dry_run"]
    assert (days["default"], days["minimum"], days["maximum"], dry_run["default"]) == (7, 1, 3650, False)
    assert all(param["title"] for param in (days, dry_run))


def test_it_runs_weekly_and_never_beside_itself(answer: dict[str, Any]) -> None:
    assert (answer["schedule"], answer["catchup"], answer["max_active_runs"]) == ("@weekly", False, 1)


def test_schedule_is_the_environments(tmp_path: Path) -> None:
    assert ask_airflow(tmp_path, tmp_path / "store", schedule="never")["schedule"] is None


def test_dry_run_and_age_leave_an_artefact_and_the_default_removes_it(answer: dict[str, Any], store: Store) -> None:
    assert [run["state"] for run in answer["runs"]] == ["success"] * 3
    dry, young, done = ([*run["xcoms"]] for run in answer["runs"])
    assert [report[0]["removed"] for report in (dry, young, done)] == [
        {"made": {"count": 1, "bytes": 0}}, {}, {"made": {"count": 1, "bytes": 0}},
    ]  # fmt: skip
    assert (dry[0]["dry_run"], done[0]["keep_days"]) == (True, 7)
    assert list(store.root.glob("made/*/*")) == []
