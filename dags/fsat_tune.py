"""### From a few labelled samples to a published ONNX model

Each task of this DAG is one step of fsat: the same function that the command line and DVC call. Its artefact goes to
the store (FSAT_STORE), under a key of all that it depends on; XCom has that key, the path and a few figures. What the
store has already is not done again, so you may clear a step, retry it or run it twice at any time.

A run is for one task, or for several: `validate` and the group `model` are mapped, one instance for each, side by side. One that
fails or is held leaves the others alone.

#### The form

- **Task:** which classification problem. It is a folder with a task.yaml under FSAT_DATA. Or all that changed: every task
  whose samples, settings or code are not those of its last decision.
- **Unlabelled, shots, encoder, seed, device:** for this run only, in place of what task.yaml says. Leave them empty to keep that.
- **Approval:** whether a person has to agree before the champion moves; empty: as `approval` in task.yaml says.
- **Dry run:** every step and the decision, but the champion stays as it is, and nobody is asked. Publish ends as it would:
  as success where the model would be promoted, as skipped where it would be held.

#### Approval

Where it is asked for, `approve` waits, without a worker, under "Required Actions", and shows the gates, the figures beside the
champion's and a link to the report. **Approve** moves the champion to this very model, whatever the data have become since.
**Reject**, or no answer within `approval_hours` of task.yaml (24), leaves it: the history says held, "not approved", and publish
is skipped. `approve` is skipped where a gate holds the model or it is the champion already. To be asked again, clear `approve`.
A run that waits is one of the four that may be active.

#### Unlabelled texts

`split` cuts the pools into shards of 4,096 texts, and one `encode` each fills the row cache, on as many workers as the pool
`gpu` has slots. Tasks that name the same file share its shards. Workers of that pool should have the same kind of device, or set
`device`: a shard that a CPU encoded is of no use to a GPU. The steps after `tune` run anywhere, and go on from what a GPU made.
Airflow allows 1,024 mapped tasks (`max_map_length`), which is four million texts.

#### When it runs

- **By hand**, with the form.
- **By `schedules` and `triggers` of a task.yaml**, through a DAG of the task's own, `fsat_tune_TASK`.
- **On drift**: an event of the asset alias `fsat-drift`, which `fsat_watch` sends. The tasks and the texts are the event's.
- **Every so often, all that changed**, where FSAT_SCHEDULE says so to the dag-processor: a cron line, or `@daily`.

#### How a run ends

- **Promoted.** The model becomes the champion of its task, the one that predictions are made with. The asset
  `champion-TASK` gets an event with the version, model and metrics; to hear of every task, schedule on the asset alias
  `fsat-champions`. After a retry, or a run that changed nothing, the event says the same again.
- **Kept.** A champion that a person moved there (`fsat rollback`, `fsat promote`) stays until a new model is promoted; a run
  that makes a former one again ends as promoted, its log says so, and the event names the champion that stays.
- **Held.** A quality gate says no, or a person. The champion stays, no asset event goes out, and publish ends as skipped, the run
  itself as success. Its log, under "Post Execute", has each failed gate with figure and bound, and the report's path.
- **Kept.** After a promotion, `snapshot` puts the champion's files below `published/` of the repository that FSAT_DATA lies in,
  with DVC, and pushes them to its default remote. Its XCom has the files to commit to Git. It is skipped after a hold or a
  dry run, and where FSAT_DATA lies in no repository with DVC.
- **Failed.** Bad input fails at once: the log of the failed step names the file, row and field, and says what to do. Then
  clear the step. Anything else, and first of all a lack of memory, is tried twice more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param, TriggerRule, chain, task, task_group

import fsat_tune_tasks as tasks
from fsat_common import FILE, GPU, TASKS, of_task, settings

if TYPE_CHECKING:
    from airflow.sdk import XComArg

INSTEAD = "In place of task.yaml, for this run"
"""A section of the form, closed at first: most runs need none of it."""

PARAMS = {
    "task": Param(
        TASKS[0],
        type="string",
        enum=[*TASKS, tasks.CHANGED],
        title="Task",
        values_display={tasks.CHANGED: "all that changed"},
        description="Which problem: a folder with a task.yaml under FSAT_DATA. A new one is on offer within a minute or so.",
    ),
    "unlabelled": Param(
        None,
        **FILE,
        title="Unlabelled texts",
        section=INSTEAD,
        description="A file, from the task's folder, for example unlabelled.csv or ../traffic/today.parquet; it must lie below"
        " FSAT_DATA. Empty: as task.yaml says.",
    ),
    "shots": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Shots",
        section=INSTEAD,
        description="Labelled samples to use of each class, 1 to 1000. Empty: as task.yaml says, by default all.",
    ),
    "encoder": Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=200,
        title="Encoder",
        section=INSTEAD,
        description="The bundled all-MiniLM-L6-v2, or org/model where the worker has it. Empty: as task.yaml says.",
    ),
    "seed": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=2**32 - 1,
        title="Seed",
        section=INSTEAD,
        description="Seed of every random draw, 0 or more. Empty: as task.yaml says, by default 0.",
    ),
    "device": Param(
        None,
        type=["null", "string"],
        enum=[None, "auto", "cpu", "cuda"],
        title="Device",
        section=INSTEAD,
        values_display={"null": "as task.yaml says", "auto": "auto", "cpu": "cpu", "cuda": "cuda"},
        description="auto, the default of task.yaml, takes a GPU where there is one; cuda fails where there is none.",
    ),
    "approval": Param(
        None,
        type=["null", "string"],
        enum=[None, "yes", "no"],
        title="Approval",
        section=INSTEAD,
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

DOCS = {
    "choose": "Choose the tasks\n\nThe form's, all that changed, or those that drifted. It ends as skipped where there is none.",
    "validate": "Check the data with Great Expectations\n\nIn its artefact, whose path is in the log:\n\n"
    "- **findings.json:** the warnings\n- **rows.parquet, texts.parquet:** the data as the next steps read them",
    "split": "Split the pools into shards\n\nOf 4,096 texts each, so that workers share the load of a large pool.",
    "encode": "Encode one shard\n\nThe rows go to the row cache; a text that any run has encoded before costs nothing.",
    "extract": "Gather the features of every text\n\n- **features.json:** shape and checksum of what is in the row cache",
    "tune": "Climb the ladder, from prototypes to a tuned body, as far as evidence and budget allow\n\n"
    "- **head.safetensors, head.json:** the head's weights, labels and settings\n"
    "- **ladder.json:** every rung, its evidence, and whether it was taken\n"
    "- **body.safetensors, encoder.onnx:** the tuned body, where one was taken",
    "evaluate": "Measure the head and ask the quality gates\n\n"
    "- **metrics.json, gates.json:** the figures and what the gates say of them\n"
    "- **predictions.parquet, confusion.csv, reliability.csv:** where it is right, wrong and too sure",
    "export": "Write one ONNX graph from token ids to probabilities, and compare it with torch\n\n"
    "- **model.onnx, tokenizer.json, config.json:** all that serving needs\n- **README.md:** the model card\n"
    "- **parity.json, gates.json:** how far ONNX and torch are apart",
    "decide": "Decide from the gates whether to promote the model or to hold it\n\n"
    "- **report.html:** the run on one page\n- **decision.json:** promote or hold, and each gate with its reason",
    "approve": "Ask a person\n\nOnly where `approval` is asked for and the champion would move. Silence is a no.",
    "publish": "Promote the model, or hold it and end as skipped\n\n- **report.html, decision.json:** those of `decide`",
    "snapshot": "Keep the champion with DVC\n\nIn `published/TASK/`: a folder and a .dvc file for each version."
    " `fsat checkout TASK VERSION` brings one back.",
}
"""Of each task, by its name: what it does, and the files of its artefact."""

SHARD_NAME = "{{ task.op_kwargs['work']['of']['task'] }} {{ task.op_kwargs['work']['shard'] }}"


def described(name: str, body: Callable[..., Any], **options: Any) -> Any:
    return task(task_id=name, doc_md=f"#### {DOCS[name]}", **options)(body)


def step(name: str, of: Any, body: Callable[..., Any] = tasks.run_step, **options: Any) -> XComArg:
    """A task of the group; its instances have the names of the problems that they are of."""
    return described(name, body, map_index_template=of_task("of"), **options)(name, of=of)


@task_group  # type: ignore[untyped-decorator]
def model(of: Any) -> None:
    """From the checked texts to the champion, once for each of the run's tasks."""
    start = step("extract", of, trigger_rule=TriggerRule.NONE_FAILED, **GPU)
    made = [step("tune", of, **GPU), step("evaluate", of), step("export", of)]
    decided = step("decide", of, tasks.decide)
    decided.operator.operator_extra_links = [tasks.ReportLink()]
    approved = tasks.ApproveChampion(
        task_id="approve", of=of, decided=decided, doc_md=f"#### {DOCS['approve']}", map_index_template="{{ task.of['task'] }}"
    )
    published = step("publish", of, tasks.publish, outlets=[tasks.CHAMPIONS], trigger_rule=TriggerRule.NONE_FAILED)
    kept = described("snapshot", tasks.snapshot, map_index_template=of_task("of"), pool="dvc")(of=of, made=published)
    chain(start, *made, decided, approved, published, kept)


def when() -> Any:
    """On drift, and by FSAT_SCHEDULE where it is set."""
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
    **settings(),
):
    chosen = described("choose", tasks.choose)()
    checked = described("validate", tasks.run_step, map_index_template=of_task("of")).partial(name="validate").expand(of=chosen)
    # those whose data are sound go on; the others fail again in their group, and so in the run
    work = described("split", tasks.split, trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)()
    encoded = described("encode", tasks.encode, map_index_template=SHARD_NAME, **GPU).expand(work=work)
    chain(checked, work, encoded, model.expand(of=chosen))
