"""### The schedule of one task

The schedule comes from `schedules` and `triggers` in the task's task.yaml. A DAG named `fsat_tune_TASK` only starts `fsat_tune`
for that task, with the form's defaults. `fsat_watch_TASK` and `fsat_apply_TASK` start `fsat_watch` and `fsat_apply` in the same
way. To change the schedule, change task.yaml. To suspend the schedule, pause this DAG.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable, get_parsing_context

from fsat_dags.settings import DEFAULT_ARGS
from fsat_tasks.errors import FsatError
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace
from fsat_tasks.tasks.yaml_file import read_small_file

if TYPE_CHECKING:
    from fsat_tasks.tasks.spec import TaskSpec

log = logging.getLogger(__name__)

VERBS = ("tune", "watch", "apply")


def read_scheduled() -> dict[str, TaskSpec]:
    """Return task name -> specification of each task that has a schedule or a trigger.

    A task whose task.yaml is invalid or cannot be read is left out, and the log says why. A process that runs one DAG reads only
    the task.yaml of that DAG's task.
    """
    workspace, found, wanted = Workspace.from_env(), {}, get_parsing_context().dag_id
    for name in workspace.task_names():
        if wanted is not None and wanted not in dag_ids(name).values():
            continue
        with only_this_task(name):
            content = read_small_file(workspace.data / name / TASK_FILE)
            if b"schedules" in content or b"triggers" in content:  # parsing all YAML would take a hundred times as long
                from fsat_tasks.tasks.task import load_task

                found[name] = load_task(name).spec
    return found


@contextmanager
def only_this_task(name: str) -> Iterator[None]:
    """Log an error that leaves the block. If it left this file, Airflow would have no schedule of any task."""
    try:
        yield
    except FsatError as error:
        log.warning("no schedule for the task %s: %s", name, error)
    except Exception:
        log.exception("no schedule for the task %s", name)


def dag_ids(task_name: str) -> dict[str, str]:
    """Return verb -> id of the DAG that schedules this verb for the task."""
    return {verb: f"fsat_{verb}_{task_name}" for verb in VERBS}


def when(line: str | None, assets: Sequence[str]) -> Any:
    """Return the `schedule` of a DAG.

    Args:
        line: a cron line that starts the DAG, or None.
        assets: names of assets. An event of any one of them starts the DAG.

    Returns:
        A schedule that combines both, or None if there is neither.
    """
    events = AssetAny(*(Asset.ref(name=name) for name in assets)) if assets else None
    if line is None or events is None:
        return line or events
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(line, timezone="UTC"), assets=events)


def make_dags(task_name: str, spec: TaskSpec) -> None:
    """Make the DAGs of one task. Airflow collects them."""
    for verb, dag_id in dag_ids(task_name).items():
        schedule = when(getattr(spec.schedules, verb), getattr(spec.triggers, verb))
        if schedule is None:
            continue
        with DAG(
            dag_id,
            dag_display_name=f"fsat_{verb} for {task_name}, by its schedule",
            description=f"Starts fsat_{verb} for {task_name} by the schedule in its {TASK_FILE}.",
            doc_md=__doc__,
            schedule=schedule,
            catchup=False,
            default_args=DEFAULT_ARGS,
            tags=["fsat", "schedule"],
        ):
            TriggerDagRunOperator(
                task_id="start", trigger_dag_id=f"fsat_{verb}", conf={"task": task_name}, note=f"Task {task_name}, by {dag_id}"
            )


for task_name, spec in read_scheduled().items():
    with only_this_task(task_name):
        make_dags(task_name, spec)
