"""Runs of the DAG fsat_apply in a process of its own. Usage: python apply_process.py RESULT CONF..., as airflow_process.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow_process import DAGS, _param, run


def instances(run_id: str) -> list[dict[str, Any]]:
    """Return state, shown name and tries of each instance of the mapped task."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(select(TaskInstance).where(TaskInstance.run_id == run_id, TaskInstance.task_id == "label")).all()
        return [{"state": ti.state, "name": ti.rendered_map_index, "tries": ti.try_number} for ti in found]


def main(result: str, *confs: str) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    sys.path.insert(0, DAGS)  # as Airflow's own processes do
    bag = DagBag(DAGS)
    dag = bag.dags["fsat_apply"]
    initdb()
    answer: dict[str, Any] = {
        "errors": bag.import_errors,
        "doc": dag.doc_md,
        "tasks": {
            task.task_id: {"after": sorted(task.upstream_task_ids), "doc": task.doc_md, "pool": task.pool} for task in dag.tasks
        },
        "params": {name: _param(dag.params.get_param(name)) for name in dag.params},
        "runs": [],
    }
    for conf in confs:
        done = run(dag, json.loads(conf))
        answer["runs"].append({**done, "label": instances(done["run_id"])})
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
