"""### From a few labelled samples to a published ONNX model

The tasks of this DAG call the same functions of fsat as the command line and DVC. Each step writes an artefact to the store
(FSAT_STORE). The step's XCom has the artefact's key, its path and a few figures. An artefact that is already in the store is
not made again. You may therefore clear a step, retry it or run it twice at any time.

A run works on one task folder, or on several at the same time. `validate` and the group `model` have one instance for each
folder.

- **Promoted:** `publish` is green, and the asset `champion-TASK` has an event.
- **Held:** `publish` is skipped, and the champion stays. The log of `publish` names each gate that failed, with its reason.
- **Failed:** the log of the failed task ends with a line that names the file, what is wrong in the file, and what to do. When
  that is done, clear the task.

In fsat's documentation, `docs/airflow.md` describes the form, approval, schedules, events and pools.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param, chain, task_group

from fsat_dags import tune_tasks as tasks
from fsat_dags.approval import ApproveOperator, DecideOperator
from fsat_dags.form import task_param, text_param
from fsat_dags.settings import dag_settings

SECTION = "In place of task.yaml, for this run"
"""Heading of a section of the form. The section is closed at first, because most runs need none of its fields."""

PARAMS = {
    "task": task_param(f" {tasks.CHANGED} takes every task whose samples, settings or code changed since its last decision."),
    "unlabelled": text_param(
        "Unlabelled texts",
        500,
        "Path of a file below FSAT_DATA, relative to the task's folder: unlabelled.csv, ../traffic/today.parquet."
        " Empty: as task.yaml says.",
        section=SECTION,
    ),
    "shots": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Shots",
        section=SECTION,
        description="Labelled samples to use of each class, 1 to 1000. Empty: as task.yaml says, by default all.",
    ),
    "encoder": text_param(
        "Encoder",
        200,
        "The bundled all-MiniLM-L6-v2, or org/model where the worker has it. Empty: as task.yaml says.",
        section=SECTION,
    ),
    "seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=2**32 - 1,
        title="Seed",
        section=SECTION,
        description="Seed of every random draw, 0 or more. Empty: as task.yaml says, by default 0.",
    ),
    "device": Param(
        None,
        type=["null", "string"],
        enum=[None, "auto", "cpu", "cuda"],
        title="Device",
        section=SECTION,
        values_display={"null": "as task.yaml says", "auto": "auto", "cpu": "cpu", "cuda": "cuda"},
        description="auto uses a GPU if there is one, else the CPU. cuda fails if there is no GPU."
        " Empty: as task.yaml says, by default auto.",
    ),
    "approval": Param(
        None,
        type=["null", "string"],
        enum=[None, "yes", "no"],
        title="Approval",
        section=SECTION,
        values_display={"null": "as task.yaml says", "yes": "yes", "no": "no"},
        description="yes: the champion moves only if a person agrees. Empty: as task.yaml says, by default no.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Run every step and decide, but do not change the champion or its history.",
    ),
}

DECIDE_DOC = (
    "#### Decide from the gates whether to promote the model or to hold it\n\n"
    "- **report.html:** the run on one page\n- **decision.json:** promote or hold, and each gate with its reason"
)
APPROVE_DOC = (
    "#### Ask a person whether to promote the model\n\nSkipped unless `approval` is set and the champion would move."
    " No answer in time counts as a no."
)


@task_group
def model(chosen: tasks.Chosen) -> None:
    """Run the steps from `extract` to `publish`, and keep the champion with DVC.

    There is one instance of this group for each task folder of the run.
    """
    decided = DecideOperator(task_id="decide", chosen=chosen, doc_md=DECIDE_DOC, map_index_template="{{ task.chosen['task'] }}")
    approved = ApproveOperator(
        task_id="approve",
        decided=decided.output,
        doc_md=APPROVE_DOC,
        map_index_template="{{ task.decided['chosen']['task'] }}",
    )
    published = tasks.publish(decided=decided.output, answer=approved.output)
    tasks.snapshot(chosen=chosen, made=published)
    chain(
        tasks.extract(chosen=chosen),
        tasks.tune(chosen=chosen),
        tasks.evaluate(chosen=chosen),
        tasks.export(chosen=chosen),
        decided,
    )


def when() -> Any:
    """Return the DAG's schedule: it runs on drift, and also at the times of the cron line FSAT_SCHEDULE if that is set."""
    line = os.environ.get("FSAT_SCHEDULE")
    if not line:
        return tasks.DRIFT
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(line, timezone="UTC"), assets=tasks.DRIFT)


with DAG(
    "fsat_tune",
    dag_display_name="fsat_tune: from samples to a published model",
    description="Tune, gate and publish classifiers from a few labelled samples per class.",
    doc_md=__doc__,
    schedule=when(),
    params=PARAMS,
    **dag_settings(),
):
    chosen = tasks.choose()
    work = tasks.split(checked=tasks.validate.expand(chosen=chosen))
    tasks.encode.expand(work=work) >> model.expand(chosen=chosen)
