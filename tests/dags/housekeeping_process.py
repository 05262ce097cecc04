"""Runs of the DAG fsat_housekeeping. Usage: python housekeeping_process.py RESULT CONF..., as airflow_process.py."""

import json
import os
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
sys.path.insert(0, folder)
bag = DagBag(folder)
dag = bag.dags["fsat_housekeeping"]
clean = dag.get_task("clean")
answer = {
    "errors": bag.import_errors,
    "schedule": dag.schedule,
    "catchup": dag.catchup,
    "max_active_runs": dag.max_active_runs,
    "doc": dag.doc_md,
    "task_doc": clean.doc_md,
    "retries": clean.retries,
    "pool": clean.pool,
    "params": {name: {"default": dag.params[name], **dag.params.get_param(name).schema} for name in dag.params},
    "heavy": sorted({"torch", "onnxruntime", "great_expectations", "pandas", "fsat_tasks.housekeeping.sweep"} & set(sys.modules)),
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
            rows = session.scalars(select(XComModel).where(XComModel.run_id == done.run_id)).all()
            xcoms = [XComModel.deserialize_value(row) for row in rows]
            answer["runs"].append({"state": done.state, "keys": [row.key for row in rows], "xcoms": xcoms})
Path(sys.argv[1]).write_text(json.dumps(answer), "utf-8")
