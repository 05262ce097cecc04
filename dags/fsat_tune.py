"""### From a few labelled samples to a published ONNX model

Each task of this DAG is one step of fsat: the same function that the command line and DVC call. Its artefact goes to
the store (FSAT_STORE), under a key of all that it depends on; XCom has that key, the path and a few figures. What the
store has already is not done again, so you may clear a step, retry it or run it twice at any time.

#### The form

- **Task:** which classification problem. It is a folder with a task.yaml under FSAT_DATA.
- **Shots, encoder, seed, device:** for this run only, in place of what task.yaml says. Leave them empty to keep that.
- **Approval:** whether a person has to agree before the champion moves; empty: as `approval` in task.yaml says.
- **Dry run:** every step and the decision, but the champion stays as it is, and nobody is asked. Publish ends as it would:
  as success where the model would be promoted, as skipped where it would be held.

#### Approval

Where it is asked for, `approve` waits, without a worker, under "Required Actions", and shows the gates, the figures beside the
champion's and the report's path. **Approve** moves the champion to this very model, whatever the data have become since.
**Reject**, or no answer within `approval_hours` of task.yaml (24), leaves it: the history says held, "not approved", and publish
is skipped. `approve` is skipped where a gate holds the model or it is the champion already. To be asked again, clear `approve`.
A run that waits is one of the four that may be active.

#### A large pool

`split` numbers the shards of 4,096 texts, and one `encode` each fills the row cache, on as many workers as the pool `gpu`
has slots. Workers should have the same kind of device, or set `device`: what a GPU encoded is of no use to a CPU. Airflow
allows 1,024 mapped tasks (`max_map_length`), which is four million texts.

#### A schedule

None, unless FSAT_SCHEDULE says so where the dag-processor runs: a cron line such as `0 3 * * *`, or `@daily`. A scheduled
run takes the form's defaults, and so the first task by name.

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
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Asset, AssetAlias, Param, chain, task
from airflow.sdk.exceptions import AirflowSkipException

from fsat_common import DEFAULT_ARGS, GPU, TASKS, store
from fsat_tasks.workspace import Workspace

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from fsat_tasks.spec import Task
    from fsat_tasks.store import Artefact

CHAMPIONS = AssetAlias("fsat-champions")

INSTEAD = "In place of task.yaml, for this run"
"""A section of the form, closed at first: most runs need none of it."""

PARAMS = {
    "task": Param(
        TASKS[0], type="string", enum=TASKS, title="Task",
        description="Which problem: a folder with a task.yaml under FSAT_DATA. A new one is on offer within a minute or so.",
    ),
    "shots": Param(
        None, type=["null", "integer"], minimum=1, maximum=1000, title="Shots", section=INSTEAD,
        description="Labelled samples to use of each class, 1 to 1000. Empty: as task.yaml says, by default all.",
    ),
    "encoder": Param(
        None, type=["null", "string"], minLength=1, maxLength=200, title="Encoder", section=INSTEAD,
        description="The bundled all-MiniLM-L6-v2, or org/model where the worker has it. Empty: as task.yaml says.",
    ),
    "seed": Param(
        None, type=["null", "integer"], minimum=0, maximum=2**32 - 1, title="Seed", section=INSTEAD,
        description="Seed of every random draw, 0 or more. Empty: as task.yaml says, by default 0.",
    ),
    "device": Param(
        None, type=["null", "string"], enum=[None, "auto", "cpu", "cuda"], title="Device", section=INSTEAD,
        values_display={"null": "as task.yaml says", "auto": "auto", "cpu": "cpu", "cuda": "cuda"},
        description="auto, the default of task.yaml, takes a GPU where there is one; cuda fails where there is none.",
    ),
    "approval": Param(
        None, type=["null", "string"], enum=[None, "yes", "no"], title="Approval", section=INSTEAD,
        values_display={"null": "as task.yaml says", "yes": "yes", "no": "no"},
        description="Whether a person has to agree before the champion moves. By default task.yaml says that nobody has to.",
    ),
    "dry_run": Param(
        False, type="boolean", title="Dry run",
        description="Do every step and decide, but leave the champion and its history as they are.",
    ),
}  # fmt: skip


SPLIT_DOC = "#### Split the texts into shards\n\nOf 4,096 texts each, so that workers share the load of a large pool."
ENCODE_DOC = "#### Encode one shard\n\nThe rows go to the row cache; a text that any run has encoded before costs nothing."

SNAPSHOT_DOC = (
    "#### Keep the champion with DVC\n\nIn `published/TASK/`: a folder and a .dvc file for each version. "
    "`fsat checkout TASK VERSION` brings one back."
)


def load(params: Mapping[str, Any], decide_only: bool = False) -> Task:
    from fsat_tasks.spec import load_task

    overrides = {field: params[field] for field in ("shots", "encoder", "seed", "device")}
    overrides["approval"] = {"yes": True, "no": False}.get(params["approval"])  # the form's menus show words only
    return load_task(params["task"], overrides, params["dry_run"] or decide_only)


def number_shards(**context: Any) -> list[int]:
    """What `split` does: number the shards of the texts."""
    from fsat_tasks.pipeline import shards

    return shards(load(context["params"]))


def encode_shard(shard: int, **context: Any) -> dict[str, int]:
    """What each mapped `encode` does: encode one shard into the row cache."""
    from fsat_tasks.pipeline import run_shard

    return run_shard(load(context["params"]), shard)


def refer(name: str, **context: Any) -> dict[str, Any]:
    """What every step's task does: run it as the command line and DVC do, pass on the artefact's key and figures.

    The steps before it are found in the store.
    """
    from fsat_tasks.pipeline import run_steps, summary

    return summary(run_steps(load(context["params"]), until=name)[name])


def decide(_: str, **context: Any) -> dict[str, Any]:
    """What `decide` does: the step publish, but for the champion."""
    from fsat_tasks.pipeline import run_steps, summary

    return summary(run_steps(load(context["params"], decide_only=True), until="publish")["publish"])


class ApproveChampion(ApprovalOperator):  # type: ignore[misc]
    """Airflow's approval of what `decide` decided; skipped where nobody has to be asked."""

    def execute(self, context: Any) -> None:
        from fsat_tasks.approval import approval_page, awaits_approval, find_artefact
        from fsat_tasks.registry import Registry

        task, ti = load(context["params"]), context["ti"]
        published = find_artefact(store(), "publish", ti.xcom_pull(task_ids="decide")["key"])
        if not awaits_approval(task, store(), published):
            raise AirflowSkipException("Nobody is asked: task.yaml or the form does not want it, or the champion stays anyway.")
        ti.xcom_push("asked", {"key": published.key, "replaces": Registry(store().root, task.name).version()})
        self.subject = f"Promote the new model of {task.name}?"
        self.body = approval_page(task, store(), published)
        self.response_timeout = timedelta(hours=task.spec.approval_hours)
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Called with the answer. A no is recorded here, since it skips publish."""
        if event.get("chosen_options") == [self.REJECT]:
            settle_answer(context, approved=False)
        return super().execute_complete(context, event)


def settle_answer(context: Mapping[str, Any], approved: bool) -> Artefact:
    from fsat_tasks.approval import settle

    asked = context["ti"].xcom_pull(task_ids="approve", key="asked")
    return settle(load(context["params"]), asked["key"], asked["replaces"], approved)


def publish_decision(name: str, **context: Any) -> dict[str, Any]:
    """What `publish` does: move the champion and tell of it; or skip, where the model is held."""
    from fsat_tasks.approval import NOT_APPROVED, awaits_approval
    from fsat_tasks.gates import all_gates
    from fsat_tasks.pipeline import run_steps, summary
    from fsat_tasks.registry import Registry

    params, ti = context["params"], context["ti"]
    asked = ti.xcom_pull(task_ids="approve", key="asked") is not None
    approved = ApprovalOperator.APPROVE in (ti.xcom_pull(task_ids="approve") or {}).get("chosen_options", ())
    published = settle_answer(context, approved) if asked else run_steps(load(params), until=name)[name]
    failed = [f"{gate.gate}: {gate.reason}" for gate in all_gates(published) if not gate.promote]
    # someone has set the state of `approve` by hand, or another run moved the champion since nobody had to be asked
    if not approved and (asked or awaits_approval(load(params), store(), published)):
        failed.append(NOT_APPROVED)
    if failed:
        raise AirflowSkipException(
            f"Held, the champion is unchanged. {'; '.join(failed)}. Report: {published.path / 'report.html'}"
        )
    champion = Registry(Workspace.from_env().store, params["task"]).champion()
    if champion is not None and not params["dry_run"]:
        asset = Asset(name=f"champion-{params['task']}", uri=f"fsat://champion/{params['task']}")
        facts = {key: champion[key] for key in ("version", "model", "metrics")}
        context["outlet_events"][CHAMPIONS].add(asset, extra=facts)
    return summary(published)


def snapshot_or_skip(**context: Any) -> dict[str, Any]:
    """What `snapshot` does: keep the champion in the repository with DVC; or skip, where there is nothing or no place to keep."""
    from fsat_tasks.approval import find_artefact
    from fsat_tasks.dvc_repository import find_repository
    from fsat_tasks.registry import Registry
    from fsat_tasks.snapshot import snapshot

    data = Workspace.from_env().data
    if context["params"]["dry_run"]:
        raise AirflowSkipException("Dry run: nothing was published.")
    if find_repository(data) is None:
        raise AirflowSkipException(f"FSAT_DATA {data} lies in no Git repository with DVC. To keep versions, make it one.")
    task, made = context["params"]["task"], context["ti"].xcom_pull(task_ids="publish")
    model = find_artefact(store(), made["step"], made["key"]).json("decision.json")["model"]
    champion = Registry(store().root, task).champion()
    if champion is None or champion["model"]["digest"] != model["digest"]:
        raise AirflowSkipException("The champion is another model: a person moved it there, or another run did since.")
    return snapshot(task)


def step(name: str, role: str, files: str, body: Callable[..., dict[str, Any]] = refer, **options: Any) -> XComArg:
    doc = f"#### {role}\n\nIn its artefact, whose path is in the log:\n\n{files}"
    return task(task_id=name, doc_md=doc, **options)(body)(name)


with DAG(
    "fsat_tune",
    description="Tune, gate and publish a classifier from a few labelled samples per class.",
    doc_md=__doc__,
    schedule=os.environ.get("FSAT_SCHEDULE") or None,
    catchup=False,
    max_active_runs=4,
    params=PARAMS,
    default_args=DEFAULT_ARGS,
    tags=["fsat", "few-shot"],
):
    chain(
        step(
            "validate", "Check the data with Great Expectations.",
            "- **findings.json:** the warnings\n- **rows.parquet, texts.parquet:** the data as the next steps read them",
        ),
        numbers := task(task_id="split", doc_md=SPLIT_DOC)(number_shards)(),
        task(task_id="encode", doc_md=ENCODE_DOC, **GPU)(encode_shard).expand(shard=numbers),
        step(
            "extract", "Gather the features of every text.",
            "- **features.json:** shape and checksum of what is in the row cache", **GPU,
        ),
        step(
            "tune", "Climb the ladder, from prototypes to a tuned body, as far as evidence and budget allow.",
            "- **head.safetensors, head.json:** the head's weights, labels and settings\n"
            "- **ladder.json:** every rung, its evidence, and whether it was taken\n"
            "- **body.safetensors, encoder.onnx:** the tuned body, where one was taken",
            **GPU,
        ),
        step(
            "evaluate", "Measure the head and ask the quality gates.",
            "- **metrics.json, gates.json:** the figures and what the gates say of them\n"
            "- **predictions.parquet, confusion.csv, reliability.csv:** where it is right, wrong and too sure",
        ),
        step(
            "export", "Write one ONNX graph from token ids to probabilities, and compare it with torch.",
            "- **model.onnx, tokenizer.json, config.json:** all that serving needs\n- **README.md:** the model card\n"
            "- **parity.json, gates.json:** how far ONNX and torch are apart",
        ),
        step(
            "decide", "Decide from the gates whether to promote the model or to hold it.",
            "- **report.html:** the run on one page\n- **decision.json:** promote or hold, and each gate with its reason",
            decide,
        ),
        ApproveChampion(
            task_id="approve", subject="Promote the new model?", defaults=ApprovalOperator.REJECT,
            doc_md="#### Ask a person\n\nOnly where `approval` is asked for and the champion would move. Silence is a no.",
        ),
        step(
            "publish", "Promote the model, or hold it and end as skipped.",
            "- **report.html, decision.json:** those of `decide`",
            publish_decision, outlets=[CHAMPIONS], trigger_rule="none_failed",
        ),
        task(task_id="snapshot", doc_md=SNAPSHOT_DOC, pool="dvc")(snapshot_or_skip)(),
    )  # fmt: skip
