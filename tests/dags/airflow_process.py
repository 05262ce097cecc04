"""What Airflow makes of dags/fsat_tune.py, found out in a process of its own: its settings and its logging touch no other test.

Usage: python airflow_process.py RESULT [CONF...]. RESULT becomes a JSON file: how the file parses, what the DAG is, and
for each CONF, a JSON object, what a run with it left in the database. Without a CONF there is no database.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
EXCEPTIONS = ("InputError", "DataError", "DeviceError", "StoreError", "OutOfMemoryError", "MemoryError", "ValueError")


def imported_by_the_file() -> dict[str, Any]:
    """The modules that the file's import adds to those of any DAG, and the seconds that it takes."""
    from airflow.sdk import DAG, Asset, AssetAlias, ExceptionRetryPolicy, Param, chain, task

    with DAG("any", schedule=None, params={"any": Param(1)}):
        chain(task(task_id="first")(lambda: 1)(), task(task_id="last", outlets=[AssetAlias("any")])(lambda: 1)())
    assert ExceptionRetryPolicy([]) and Asset(name="any", uri="any://any")
    before, started = set(sys.modules), time.perf_counter()
    sys.path.insert(0, DAGS)
    __import__("fsat_tune")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "before": sorted(before), "added": sorted(set(sys.modules) - before)}


def describe(bag: Any) -> dict[str, Any]:
    dag = bag.dags["fsat_tune"]
    return {
        "errors": bag.import_errors,
        "dags": sorted(bag.dags),
        "doc": dag.doc_md,
        "schedule": dag.schedule,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "params": {name: _param(dag.params.get_param(name)) for name in dag.params},
        "tasks": {
            task.task_id: {
                "after": sorted(task.upstream_task_ids),
                "pool": task.pool,
                "retries": task.retries,
                "doc": task.doc_md,
                "on_exception": {name: _decision(task.retry_policy, name) for name in EXCEPTIONS},
            }
            for task in dag.topological_sort()
        },
    }


def _param(param: Any) -> dict[str, Any]:
    """A parameter's form, and which of some values it accepts."""
    from airflow.sdk.exceptions import ParamValidationError

    default, accepted = param.value, []  # resolve() keeps the value
    for value in (None, True, 0, 1, 1000, 1001, -1, 2**32, 1.5, "", "cpu", "tpu", "support-intents", "../x"):
        try:
            param.resolve(value)
        except ParamValidationError:
            continue
        accepted.append(value)
    return {"default": default, "description": param.description, "schema": param.schema, "accepted": accepted}


def _decision(policy: Any, exception: str) -> str:
    import fsat_tasks.errors

    kind = getattr(fsat_tasks.errors, exception, None) or getattr(builtins, exception)
    error = kind("where", "this", "that") if issubclass(kind, fsat_tasks.errors.InputError) else kind("said")
    return str(policy.evaluate(error, try_number=1, max_tries=2).action.value)


def run(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    """Run the DAG and read what is known of it afterwards."""
    from airflow.models.asset import AssetEvent
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    done = dag.test(run_conf=conf)
    with create_session() as session:
        xcoms = session.scalars(select(XComModel).where(XComModel.run_id == done.run_id)).all()
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == done.run_id)).all()
        return {
            "state": done.state,
            "tasks": {ti.task_id: ti.state for ti in done.get_task_instances(session=session)},
            "tries": {ti.task_id: ti.try_number for ti in done.get_task_instances(session=session)},
            "xcoms": {xcom.task_id: XComModel.deserialize_value(xcom) for xcom in xcoms},
            "events": [{"asset": event.asset.name, "uri": event.asset.uri, "extra": event.extra} for event in events],
        }


def main(result: str, *confs: str) -> None:
    imported = imported_by_the_file()
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAGS)
    answer: dict[str, Any] = {"import": imported, "dag": describe(bag)}
    if confs:
        from airflow.utils.db import initdb

        initdb()
        answer["runs"] = [run(bag.dags["fsat_tune"], json.loads(conf)) for conf in confs]
    Path(result).write_text(json.dumps(answer), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
