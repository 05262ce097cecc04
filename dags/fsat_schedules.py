"""### The task's own schedule

The schedule comes from `schedules` and `triggers` in the task's task.yaml. This DAG only starts the DAG that its name begins
with, for this task, with the form's defaults. To change when it runs, change task.yaml; to stop it for a while, pause it here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable, get_parsing_context

from fsat_dags.settings import DEFAULT_ARGS
from fsat_tasks.errors import FsatError
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace

if TYPE_CHECKING:
    from fsat_tasks.tasks.spec import TaskSpec

log = logging.getLogger(__name__)

VERBS = ("tune", "watch", "apply")


def read_scheduled() -> dict[str, TaskSpec]:
    """Return task name -> specification of each task that has a schedule or a trigger.

    A task with a broken task.yaml is left out: its run says why. A process that runs one DAG reads that DAG's task.yaml alone.
    """
    workspace, found, wanted = Workspace.from_env(), {}, get_parsing_context().dag_id
    for name in workspace.task_names():
        if wanted is not None and wanted not in dag_ids(name).values():
            continue
        text = (workspace.data / name / TASK_FILE).read_text("utf-8", "replace")
        if "schedules" in text or "triggers" in text:  # reading YAML takes a hundred times as long
            from fsat_tasks.tasks.task import load_task

            try:
                found[name] = load_task(name).spec
            except FsatError as error:
                log.warning("no schedule for the task %s: %s", name, error)
    return found


def dag_ids(task_name: str) -> dict[str, str]:
    """Return verb -> id of the task's DAG."""
    return {verb: f"fsat_{verb}_{task_name}" for verb in VERBS}


def when(line: str | None, assets: Sequence[str]) -> Any:
    """Return the `schedule` of a DAG: by a cron line, on an event of any of the assets, or both; None for neither."""
    events = AssetAny(*(Asset.ref(name=name) for name in assets)) if assets else None
    if line is None or events is None:
        return line or events
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(line, timezone="UTC"), assets=events)


for task_name, spec in read_scheduled().items():
    for verb, dag_id in dag_ids(task_name).items():
        schedule = when(getattr(spec.schedules, verb), getattr(spec.triggers, verb))
        if schedule is None:
            continue
        with DAG(
            dag_id,
            description=f"Starts fsat_{verb} for {task_name} when its {TASK_FILE} says.",
            doc_md=__doc__,
            schedule=schedule,
            catchup=False,
            default_args=DEFAULT_ARGS,
            tags=["fsat", "schedule"],
        ):
            TriggerDagRunOperator(task_id="start", trigger_dag_id=f"fsat_{verb}", conf={"task": task_name})
