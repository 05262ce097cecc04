"""Airflow with dags/fsat_tune.py, in a process of its own, so that its settings and its logging touch no other test.

Usage: python airflow_process.py RESULT [CONF...]. RESULT becomes a JSON file: how the file parses, what the DAG is, and
for each CONF, a JSON object, what a run with it left in the database. Without a CONF there is no database. A CONF's
"answer" is no param: it is a person's answer when the run asks for approval. Such a run asks as it would beside a scheduler.
"""

from __future__ import annotations

import builtins
import copy
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

DAGS = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
EXCEPTIONS = ("InputError", "DataError", "DeviceError", "StoreError", "OutOfMemoryError", "MemoryError", "ValueError")


def imported_by_the_file() -> dict[str, Any]:
    """Return the modules that the file's import adds to those of any DAG, and the seconds that it takes."""
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
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import DagSerialization

    dag = bag.dags["fsat_tune"]
    return {
        "errors": bag.import_errors,
        "dags": sorted(bag.dags),
        "versions": {name: SerializedDagModel.hash(DagSerialization.to_dict(one)) for name, one in bag.dags.items()},
        "doc": dag.doc_md,
        "schedule": str(dag.schedule),
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "deadlines": {name: [_deadline(alert) for alert in one.deadline or ()] for name, one in bag.dags.items()},
        "params": {name: _param(dag.params.get_param(name)) for name in dag.params},
        "tasks": {
            _short(task.task_id): {
                "after": sorted(map(_short, task.upstream_task_ids)),
                "pool": task.pool,
                "retries": task.retries,
                "doc": task.doc_md,
                "on_exception": {name: _decision(task.retry_policy, name) for name in EXCEPTIONS},
            }
            for task in dag.topological_sort()
        },
    }


def _short(task_id: str, map_index: int = 0) -> str:
    """Return the task's id without the group's name; from the second mapped instance on, with its number."""
    return task_id.removeprefix("model.") + (f"[{map_index}]" if map_index > 0 else "")


def _param(param: Any) -> dict[str, Any]:
    """Return a parameter's form, and the values among some that it accepts."""
    from airflow.sdk.exceptions import ParamValidationError

    default, accepted = param.value, []
    for value in (None, True, 0, 1, 1000, 1001, -1, 2**32, 1.5, "", "cpu", "tpu", "yes", "support-intents", "../x"):
        try:
            copy.deepcopy(param).resolve(value)  # which keeps the value
        except ParamValidationError:
            continue
        accepted.append(value)
    return {"default": default, "description": param.description, "schema": param.schema, "accepted": accepted}


def _deadline(alert: Any) -> list[Any]:
    return [alert.reference.reference_name, alert.interval.total_seconds(), alert.callback.path, alert.callback.kwargs]


def _decision(policy: Any, exception: str) -> str:
    import fsat_tasks.errors

    kind = getattr(fsat_tasks.errors, exception, None) or getattr(builtins, exception)
    error = kind("where", "this", "that") if issubclass(kind, fsat_tasks.errors.InputError) else kind("said")
    return str(policy.evaluate(error, try_number=1, max_tries=2).action.value)


@contextmanager
def answering(answer: str | None) -> Iterator[None]:
    """Answer a run's question as the API does, or let its time run out as the scheduler does. None: the run is a test run."""
    import pytest

    import fsat_dags.approval

    ended = Event()

    def respond() -> None:
        while answer is not None and not ended.wait(0.5):
            sweep() if answer == "silence" else submit(answer)

    thread = Thread(target=respond, daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            if answer is not None:
                patch.setattr(fsat_dags.approval, "is_test", lambda _: False)
            yield
    finally:
        ended.set()
        thread.join()


def submit(answer: str) -> None:
    from airflow.models.hitl import HITLDetail
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    with create_session() as session:
        for detail in session.scalars(select(HITLDetail).where(HITLDetail.responded_at.is_(None))).all():
            if detail.task_instance.state == TaskInstanceState.AWAITING_INPUT:
                detail.chosen_options, detail.responded_at, detail.params_input = [answer], datetime.now(UTC), {}
                event = TriggerEvent(detail.as_resume_event_payload())
                handle_event_submit(event, task_instance=detail.task_instance, session=session)


def sweep() -> None:
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    SchedulerJobRunner(Job()).check_awaiting_input_timeouts()


def run(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    """Run the DAG, and read facts of the run from the database."""
    from airflow.models.asset import AssetEvent
    from airflow.models.hitl import HITLDetail
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with answering(conf.pop("answer", None)):
        done = dag.test(run_conf=conf)
    with create_session() as session:
        rows = session.scalars(select(XComModel).where(XComModel.run_id == done.run_id)).all()
        xcoms = [row for row in rows if row.key == "return_value"]
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == done.run_id)).all()
        details = session.scalars(select(HITLDetail)).all()
        instances = done.get_task_instances(session=session)
        pages = [detail for detail in details if detail.task_instance.run_id == done.run_id]
        return {
            "run_id": done.run_id,
            "state": done.state,
            "tasks": {_short(ti.task_id, ti.map_index): ti.state for ti in instances},
            "tries": {_short(ti.task_id, ti.map_index): ti.try_number for ti in instances},
            "names": {_short(ti.task_id, ti.map_index): ti.rendered_map_index for ti in instances},
            "keys": sorted([_short(xcom.task_id, xcom.map_index), xcom.key] for xcom in rows),
            "xcoms": {_short(xcom.task_id, xcom.map_index): XComModel.deserialize_value(xcom) for xcom in xcoms},
            "pages": [
                {name: getattr(page, name) for name in ("subject", "body", "defaults", "chosen_options")} for page in pages
            ],
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
