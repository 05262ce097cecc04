"""Runs of the DAG fsat_watch in a process of its own. Usage: python watch_process.py RESULT CONF..., as airflow_process.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airflow_process import DAGS, run


def main(result: str, *confs: str) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    sys.path.insert(0, DAGS)  # as Airflow's own processes have it
    bag = DagBag(DAGS)
    dag = bag.dags["fsat_watch"]
    (task,) = dag.tasks
    params = [(name, dag.params.get_param(name)) for name in dag.params]
    initdb()
    answer = {
        "errors": bag.import_errors,
        "doc": dag.doc_md,
        "pool": task.pool,
        "params": {name: [param.schema["title"], param.description] for name, param in params},
        "runs": [run(dag, json.loads(conf)) for conf in confs],
    }
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
