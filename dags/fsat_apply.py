"""### Label new files with a task's champion

Every row of every new file gets a label, its calibrated probability and whether the text is one of the task. Where the model is
unsure it abstains, and the text goes to `review.csv`, for a person to label.

A file is new where the present champion has not labelled its contents. A file that is renamed is not new; one that changed is,
and after a promotion all are. So you may run this at any time, clear a task or retry it: what is done is not done again, and a
file whose task was killed goes on where it stopped.

#### The form

- **Task:** which classification problem. It is a folder with a task.yaml under FSAT_DATA. It needs a champion, from `fsat_tune`.
- **Files:** a file, a folder or a pattern such as `../incoming/*.csv`, from the task's folder on and below FSAT_DATA; empty:
  `apply.files` of task.yaml. CSV, JSON lines, Parquet, or text files with a text a line. Move a file there once it is complete.

#### How a run ends

- **Done.** Each file has an artefact in the store, whose path is in the XCom of its `label` task:
  **predictions.parquet**, a row for each of the file's, **review.csv** and **summary.json**. The asset `predictions-TASK` gets an
  event with the counts, the share of rows without an answer and of those out of scope, and the paths of the review files; to hear
  of every task, schedule on the asset alias `fsat-predictions`.
- **Skipped.** No file is new; no event goes out.
- **Failed.** A file cannot be read: its log names the line and says what to do. The other files are labelled and told of all the
  same. A lack of memory is tried twice more.

A run takes 1,000 new files at most; the next one takes the rest. At most two files are labelled at a time, as each keeps all
cores of its worker busy.

#### What a person does

Copy a `review.csv`, fill in its column `label`, with `out_of_scope` where no class fits, and feed it back with
`fsat add TASK review.csv`. Then run `fsat_tune`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from fsat_common import TASKS, settings, store
from fsat_tasks.tasks.workspace import Workspace, confine

PREDICTIONS = AssetAlias("fsat-predictions")
MOST_FILES = 1000
"""Of a run: Airflow allows 1,024 mapped tasks (`max_map_length`)."""

PARAMS = {
    "task": Param(
        TASKS[0],
        type="string",
        enum=TASKS,
        title="Task",
        description="Which problem: a folder with a task.yaml under FSAT_DATA. A new one is on offer within a minute or so.",
    ),
    "files": Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=200,
        title="Files",
        description="A file, a folder or a pattern such as ../incoming/*.csv, from the task's folder on, below FSAT_DATA."
        " Empty: apply.files of task.yaml.",
    ),
}

FIND_DOC = "#### Find the new files\n\nThose that the present champion has not labelled; skipped where there is none."
LABEL_DOC = (
    "#### Label one file\n\nIn its artefact, whose path is in the log:\n\n"
    "- **predictions.parquet:** line, text, label, probability, whether the model abstained, and the likely labels\n"
    "- **review.csv:** what it abstained on, the most useful first\n- **summary.json:** counts"
)
SUMMARY_DOC = "#### Tell of the figures\n\nOf all files that were labelled, as an event of the asset `predictions-TASK`."
EVERY_DOC = "#### Fail where a file failed\n\nSo that the run does, though the others were labelled and told of."


def find_new(**context: Any) -> list[str]:
    """What `find` does: paths below FSAT_DATA of the files that the champion has not labelled."""
    from fsat_tasks.registry.champion import champion_model
    from fsat_tasks.tasks.files import find_files
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import find_result

    spec = load_task(context["params"]["task"])
    model = champion_model(spec.name)
    files = find_files(spec, context["params"]["files"])
    new = [path for path in files if find_result(spec, store(), model, path) is None]
    if not new:
        raise AirflowSkipException(f"No new file: the champion has labelled all {len(files)} of them.")
    root = Workspace.from_env().data.resolve()
    return [str(path.relative_to(root)) for path in new[:MOST_FILES]]


def label_file(file: str, **context: Any) -> dict[str, Any]:
    """What each mapped `label` does: label one file, pass on the artefact's key and the counts."""
    from fsat_tasks.registry.champion import champion_model
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import apply

    get_current_context()["name"] = file  # what map_index_template shows
    spec = load_task(context["params"]["task"])
    path = confine(Workspace.from_env().data, file, "file")
    return summary(apply(spec, store(), champion_model(spec.name), path))


def summarise(results: Iterable[dict[str, Any]], **context: Any) -> dict[str, Any]:
    """What `summary` does: add up the counts and tell of them."""
    from fsat_tasks.traffic.labelling import totals
    from fsat_tasks.traffic.review import REVIEW

    done, name = [result for result in results if result is not None], context["params"]["task"]
    figures = {"task": name, **totals(done)}
    reviews = [f"{result['path']}/{REVIEW}" for result in done if result["to_review"]]
    asset = Asset(name=f"predictions-{name}", uri=f"fsat://predictions/{name}")
    context["outlet_events"][PREDICTIONS].add(asset, extra={**figures, "reviews": reviews})
    return figures


with DAG(
    "fsat_apply",
    description="Label new files with a task's champion; what it is unsure of goes to a person.",
    doc_md=__doc__,
    schedule=None,
    params=PARAMS,
    **settings(),
):
    new = task(task_id="find", doc_md=FIND_DOC)(find_new)()
    label = task(task_id="label", doc_md=LABEL_DOC, map_index_template="{{ name }}", max_active_tis_per_dag=2)(label_file)
    summary = task(task_id="summary", doc_md=SUMMARY_DOC, outlets=[PREDICTIONS], trigger_rule="all_done_min_one_success")(
        summarise
    )
    results = label.expand(file=new)
    summary(results)
    results >> task(task_id="every_file", doc_md=EVERY_DOC)(lambda: None)()
