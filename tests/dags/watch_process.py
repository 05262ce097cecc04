"""Runs of the DAG fsat_watch in a process of its own. Usage: python watch_process.py RESULT CONF..., as airflow_process.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow_process import DAGS, run


def note(run_id: str, dag: Any) -> str:
    """Return the note that the plugins fsat_pools and fsat_notes give a run which begins."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    sys.path.insert(0, f"{DAGS}/plugins")
    from fsat_notes import TaskNote
    from fsat_pools import PoolCheck

    with create_session() as session:
        (begun,) = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).all()
        begun.dag = dag
        for _ in range(2):
            PoolCheck().on_dag_run_running(begun, "started")
            TaskNote().on_dag_run_running(begun, "started")
    with create_session() as session:
        return str(session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().note)


def main(result: str, *confs: str) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    sys.path.insert(0, DAGS)  # as Airflow's own processes have it
    bag = DagBag(DAGS)
    dag = bag.dags["fsat_watch"]
    (task,) = dag.tasks
    params = [(name, dag.params.get_param(name)) for name in dag.params]
    initdb()
    runs = [run(dag, json.loads(conf)) for conf in confs]
    answer = {
        "errors": bag.import_errors,
        "doc": dag.doc_md,
        "pool": task.pool,
        "params": {name: [param.schema["title"], param.description] for name, param in params},
        "runs": runs,
        "note": note(runs[0]["run_id"], dag),
    }
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
