"""### Label new files with a task's champion

Every row of every new file gets a label, its calibrated probability, and a mark that says whether the text is in scope. If the
model is unsure, it abstains, and the text goes to `review.csv` for a person to label. A file is new if the model that is now the
champion has not labelled its contents. You may run this DAG, or clear or retry one of its tasks, at any time: no file is
labelled twice.

- **Done:** each file has an artefact, whose path is in the XCom of its `label` task. The asset `predictions-TASK` has an event.
- **Skipped:** no file is new, so no event is sent.
- **Failed:** a file cannot be read. The log of its `label` task names the line and says what to do. The other files are labelled
  and counted.

Copy a `review.csv`, fill in its column `label`, and add the rows to the samples with `fsat add TASK review.csv`. In fsat's
documentation, `docs/airflow.md` describes the form and the event, and `docs/apply.md` describes the files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetAlias, TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException

from fsat_dags.form import chosen_task, task_param, text_param
from fsat_dags.settings import dag_settings, store
from fsat_tasks.tasks.workspace import Workspace, confine

if TYPE_CHECKING:
    from airflow.sdk.types import OutletEventAccessorsProtocol

PREDICTIONS = AssetAlias("fsat-predictions")
MOST_FILES = 1000
"""Maximum number of files in one run, because Airflow allows 1,024 mapped tasks (`max_map_length`). The next run takes more."""

ALL_DOC = "#### Fail the run if a file failed\n\nThe other files are still labelled and counted."

PARAMS = {
    "task": task_param(),
    "files": text_param(
        "Files",
        200,
        "A file, a folder or a pattern such as ../incoming/*.csv, relative to the task's folder. It must lie below FSAT_DATA."
        " Empty: apply.files of task.yaml.",
    ),
}


@task(doc_md="#### Find the new files\n\nA file is new if the present champion has not labelled it. Skipped if no file is new.")
def find(params: dict[str, Any]) -> list[dict[str, str]]:
    """List the files that the champion has not labelled. Each entry has the task's name, and the path relative to FSAT_DATA."""
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.tasks.files import find_files
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import Labeller

    loaded, ours = load_task(chosen_task(params["task"])), store()
    labeller = Labeller(loaded, ours, champion_model(loaded.name, ours))
    files = find_files(loaded, params["files"])
    new = [path for path in files if labeller.find(path) is None]
    if not new:
        raise AirflowSkipException(f"No new file: the champion has labelled all {len(files)} of them.")
    root = Workspace.from_env().data.resolve()
    return [{"task": loaded.name, "file": str(path.relative_to(root))} for path in new[:MOST_FILES]]


@task(
    doc_md="#### Label one file\n\nThe log has the path of the artefact, which has these files:\n\n"
    "- **predictions.parquet:** line, text, label, probability, whether the model abstained, and the likely labels\n"
    "- **review.csv:** texts that the model abstained on, the most useful first\n- **summary.json:** counts",
    map_index_template="{{ task.op_kwargs['work']['file'] }}",
    max_active_tis_per_dag=2,  # because each instance keeps all cores of its worker busy
    multiple_outputs=False,
)
def label(work: dict[str, str]) -> dict[str, Any]:
    """Label one file. Returns the task's name, the artefact's key and the counts."""
    from fsat_tasks.registry.champion_files import champion_model
    from fsat_tasks.steps.pipeline import summary
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.traffic.labelling import Labeller

    loaded, ours = load_task(work["task"]), store()
    path = confine(Workspace.from_env().data, work["file"], "file")
    return {"task": loaded.name, **summary(Labeller(loaded, ours, champion_model(loaded.name, ours)).label(path))}


@task(
    doc_md="#### Send the counts\n\nAn event of the asset `predictions-TASK` has the counts of all files that were labelled.",
    multiple_outputs=False,
    outlets=[PREDICTIONS],
    trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
)
def summary(results: Iterable[dict[str, Any] | None], outlet_events: OutletEventAccessorsProtocol) -> dict[str, Any]:
    """Add up the counts and send the event."""
    from fsat_tasks.traffic.labelling import totals
    from fsat_tasks.traffic.review import REVIEW

    done = [result for result in results if result is not None]
    name = done[0]["task"]
    figures = {"task": name, **totals(done)}
    reviews = [f"{result['path']}/{REVIEW}" for result in done if result["to_review"]]
    asset = Asset(name=f"predictions-{name}", uri=f"fsat://predictions/{name}")
    outlet_events[PREDICTIONS].add(asset, extra={**figures, "reviews": reviews})
    return figures


with DAG(
    "fsat_apply",
    dag_display_name="fsat_apply: label new files",
    description="Label new files with a task's champion. Texts that it is unsure of go to a person.",
    doc_md=__doc__,
    schedule=None,
    params=PARAMS,
    **dag_settings(),
):
    results = label.expand(work=find())
    summary(results)
    # `summary` succeeds if any file was labelled; this last task makes the run fail if any file failed
    results >> EmptyOperator(task_id="all_labelled", doc_md=ALL_DOC)
