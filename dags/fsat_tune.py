"""### From a few labelled samples to a published ONNX model

Each task of this DAG is one step of fsat: the same function that the command line and DVC call. Its artefact goes to the store
(FSAT_STORE); XCom has the artefact's key, its path and a few figures. An artefact that is in the store already is not made
again. You may clear a step, retry it or run it twice at any time.

A run works on one task folder or on several, side by side: `validate` and the group `model` have one instance for each.

- **Promoted:** `publish` is green, and the asset `champion-TASK` has an event.
- **Held:** `publish` is skipped, and the champion stays. Its log names each gate that failed, with figure and bound.
- **Failed:** the log of the failed task ends with the file, what is wrong in it, and what to do. Then clear the task.

The page `docs/airflow.md` of fsat describes the form, approval, schedules, events and pools.
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
"""A section of the form, closed at first: most runs need none of it."""

PARAMS = {
    "task": task_param(f" {tasks.CHANGED} takes all whose samples, settings or code are not those of their last decision."),
    "unlabelled": text_param(
        "Unlabelled texts",
        500,
        "A file, from the task's folder, for example unlabelled.csv or ../traffic/today.parquet; it must lie below FSAT_DATA."
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
        description="auto, the default of task.yaml, takes a GPU where there is one; cuda fails where there is none.",
    ),
    "approval": Param(
        None,
        type=["null", "string"],
        enum=[None, "yes", "no"],
        title="Approval",
        section=SECTION,
        values_display={"null": "as task.yaml says", "yes": "yes", "no": "no"},
        description="Whether a person has to agree before the champion moves. By default task.yaml says that nobody has to.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Do every step and decide, but leave the champion and its history as they are.",
    ),
}

DECIDE_DOC = (
    "#### Decide from the gates whether to promote the model or to hold it\n\n"
    "- **report.html:** the run on one page\n- **decision.json:** promote or hold, and each gate with its reason"
)
APPROVE_DOC = "#### Ask a person\n\nOnly if `approval` is set and the champion would move. No answer in time counts as a no."


@task_group
def model(of: tasks.Chosen) -> None:
    """Run the steps after `validate`, up to the champion, once for each of the run's tasks."""
    decided = DecideOperator(task_id="decide", of=of, doc_md=DECIDE_DOC, map_index_template="{{ task.of['task'] }}")
    approved = ApproveOperator(
        task_id="approve",
        decided=decided.output,
        doc_md=APPROVE_DOC,
        map_index_template="{{ task.decided['of']['task'] }}",
    )
    published = tasks.publish(decided=decided.output, answer=approved.output)
    tasks.snapshot(of=of, made=published)
    chain(tasks.extract(of=of), tasks.tune(of=of), tasks.evaluate(of=of), tasks.export(of=of), decided)


def when() -> Any:
    """Return the DAG's schedule: on drift, and also by FSAT_SCHEDULE if it is set."""
    line = os.environ.get("FSAT_SCHEDULE")
    if not line:
        return tasks.DRIFT
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(line, timezone="UTC"), assets=tasks.DRIFT)


with DAG(
    "fsat_tune",
    description="Tune, gate and publish classifiers from a few labelled samples per class.",
    doc_md=__doc__,
    schedule=when(),
    params=PARAMS,
    **dag_settings(),
):
    chosen = tasks.choose()
    work = tasks.split(checked=tasks.validate.expand(of=chosen))
    tasks.encode.expand(work=work) >> model.expand(of=chosen)
