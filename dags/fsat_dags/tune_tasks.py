"""Tasks of the DAG fsat_tune. Each calls a function of fsat_tasks and passes the result to Airflow.

A test can call the function behind a task, for example `choose.function(...)`. `multiple_outputs=False` prevents Airflow from
storing each key of a returned dictionary as a separate XCom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, AssetAlias, TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException
from airflow.utils.types import DagRunType

from fsat_dags.form import chosen_task
from fsat_dags.settings import DVC, GPU, store
from fsat_tasks.errors import InputError, StoreError
from fsat_tasks.tasks.workspace import Workspace

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol, OutletEventAccessorsProtocol, RuntimeTaskInstanceProtocol

    from fsat_tasks.store import Artefact
    from fsat_tasks.tasks.task import Task

CHAMPIONS = AssetAlias("fsat-champions")
DRIFT = AssetAlias("fsat-drift")

CHANGED = "*"
"""Value of the form's Task that selects all tasks that changed since their last decision. No task can have this name."""

Chosen = dict[str, str | None]
"""One of the run's tasks. `task` is its name. `unlabelled` is a file that replaces `unlabelled` of task.yaml, or None."""

NAME = "{{ task.op_kwargs['chosen']['task'] }}"
"""Template of the name that the UI shows for a mapped instance: the name of the task that it works on."""


def load(params: Mapping[str, Any], chosen: Chosen, decide_only: bool = False) -> Task:
    """Read the task. Values of the form replace those of task.yaml."""
    from fsat_tasks.tasks.task import load_task

    values = overrides(params) | {"unlabelled": chosen["unlabelled"]}
    return load_task(str(chosen["task"]), values, params["dry_run"] or decide_only)


def overrides(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the form that apply to every task of the run."""
    approval = {"yes": True, "no": False}.get(params["approval"])  # the form's menu offers words, not booleans
    return {field: params[field] for field in ("shots", "encoder", "seed", "device")} | {"approval": approval}


def run_step(name: str, chosen: Chosen, params: Mapping[str, Any]) -> dict[str, Any]:
    """Run a step as the command line and DVC do, and return its artefact's key and figures.

    The artefacts of earlier steps are found in the store.
    """
    from fsat_tasks.steps.pipeline import run_steps, summary

    return summary(run_steps(load(params, chosen), until=name, store=store())[name])


@task(
    doc_md="#### Choose the tasks\n\nThe run takes the task of the form, all tasks that changed, or the tasks that drifted."
    " If the name does not exist, this task fails, and its log lists the tasks. It ends as skipped if no task has changed.",
)
def choose(params: dict[str, Any], dag_run: DagRunProtocol, triggering_asset_events: Mapping[Any, Any]) -> list[Chosen]:
    """Return the tasks of this run: those that drifted, the one that the form names, or all that changed since their decision."""
    events = triggering_asset_events.get(DRIFT, ())
    if drifted := {event.extra["task"]: event.extra.get("unlabelled") for event in events}:
        return [{"task": name, "unlabelled": file} for name, file in drifted.items()]
    if params["task"] != CHANGED and dag_run.run_type != DagRunType.SCHEDULED:
        return [{"task": chosen_task(params["task"]), "unlabelled": params["unlabelled"]}]
    from fsat_tasks.steps.changed import changed_tasks

    changed = changed_tasks(load=lambda name: load(params, {"task": name, "unlabelled": None}))
    if not changed:
        raise AirflowSkipException("No task has changed since its last decision.")
    return [{"task": name, "unlabelled": None} for name in changed]


@task(
    doc_md="#### Check the data with Great Expectations\n\nThe log has the path of the artefact, which has these files:\n\n"
    "- **findings.json:** the warnings\n- **rows.parquet, texts.parquet:** the data in the form that later steps read",
    map_index_template=NAME,
    multiple_outputs=False,
)
def validate(chosen: Chosen, params: dict[str, Any]) -> dict[str, Any]:
    """Run the step `validate`, and add `chosen` to its result, because `split` needs to know the task."""
    return {"chosen": chosen, **run_step("validate", chosen, params)}


@task(
    doc_md="#### Split the pools into shards\n\nA shard has 4,096 texts, so that workers share the load of a large pool."
    " A task whose data failed `validate` has no shards. The first step after this one, for the same"
    " task, checks the data again and fails, and so the run fails.",
    trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
)
def split(checked: Iterable[dict[str, Any] | None], params: dict[str, Any]) -> list[dict[str, Any]]:
    """List the shards of the pools.

    Args:
        checked: result of `validate` for each task with valid data. The trigger rule needs one
            upstream success. If `choose` were upstream, its success would be enough, and `split` would run even if `validate`
            failed for every task. So the tasks come from `validate`.
    """
    from fsat_tasks.steps.shards import list_shards

    sound = []
    for one in checked:
        with suppress(InputError):  # the files have changed since `validate`; the task's own steps say what is wrong
            if one is not None:
                sound.append((one["chosen"], load(params, one["chosen"])))
    return [
        {"chosen": sound[number][0], "shard": shard} for number, shard in list_shards([loaded for _, loaded in sound], store())
    ]


@task(
    doc_md="#### Encode one shard\n\nThe features go to the row cache. A text that any run has encoded is not encoded again.",
    map_index_template="{{ task.op_kwargs['work']['chosen']['task'] }} {{ task.op_kwargs['work']['shard'] }}",
    multiple_outputs=False,
    **GPU,
)
def encode(work: dict[str, Any], params: dict[str, Any]) -> dict[str, int]:
    """Encode one shard into the row cache.

    If the task's input is bad, this instance ends as skipped. A failure would stop all tasks of the run; `extract` of this task
    fails by the same error, and stops only this task.
    """
    from fsat_tasks.steps.shards import run_shard

    try:
        return run_shard(load(params, work["chosen"]), work["shard"], store())
    except StoreError:  # the store is everybody's, and may come back
        raise
    except InputError as error:
        raise AirflowSkipException(str(error)) from error


@task(
    doc_md="#### Gather the features of every text\n\n- **features.json:** shape and checksum of this task's features, which are"
    " in the row cache",
    map_index_template=NAME,
    multiple_outputs=False,
    trigger_rule=TriggerRule.NONE_FAILED,  # without a pool, `encode` is skipped
    **GPU,
)
def extract(chosen: Chosen, params: dict[str, Any]) -> dict[str, Any]:
    """Run the step `extract` for one task."""
    return run_step("extract", chosen, params)


@task(
    doc_md="#### Go up the ladder, from prototypes to a tuned encoder, as far as the evidence and the budget allow\n\n"
    "- **head.safetensors, head.json:** the head's weights, labels and settings\n"
    "- **ladder.json:** every rung, its evidence, and whether it was taken\n"
    "- **body.safetensors, encoder.onnx:** the tuned encoder, if one was taken",
    map_index_template=NAME,
    multiple_outputs=False,
    **GPU,
)
def tune(chosen: Chosen, params: dict[str, Any]) -> dict[str, Any]:
    """Run the step `tune` for one task."""
    return run_step("tune", chosen, params)


@task(
    doc_md="#### Measure the head and ask the quality gates\n\n"
    "- **metrics.json, gates.json:** the figures and the gates' decisions\n"
    "- **predictions.parquet, confusion.csv, reliability.csv:** rows that the head gets right or wrong, and how sure it is",
    map_index_template=NAME,
    multiple_outputs=False,
)
def evaluate(chosen: Chosen, params: dict[str, Any]) -> dict[str, Any]:
    """Run the step `evaluate` for one task."""
    return run_step("evaluate", chosen, params)


@task(
    doc_md="#### Write one ONNX graph from token ids to probabilities, and compare it with torch\n\n"
    "- **model.onnx, tokenizer.json, config.json:** all files that serving needs\n- **README.md:** the model card\n"
    "- **parity.json, gates.json:** how much the answers of ONNX and torch differ",
    map_index_template=NAME,
    multiple_outputs=False,
)
def export(chosen: Chosen, params: dict[str, Any]) -> dict[str, Any]:
    """Run the step `export` for one task."""
    return run_step("export", chosen, params)


@task(
    doc_md="#### Promote the model, or hold it and end as skipped\n\n- **report.html, decision.json:** the files of `decide`",
    map_index_template="{{ task.op_kwargs['decided']['chosen']['task'] }}",
    multiple_outputs=False,
    outlets=[CHAMPIONS],
    trigger_rule=TriggerRule.NONE_FAILED,  # `approve` is skipped if no approval is needed
)
def publish(
    decided: dict[str, Any],
    answer: dict[str, Any] | None,
    params: dict[str, Any],
    ti: RuntimeTaskInstanceProtocol,
    outlet_events: OutletEventAccessorsProtocol,
) -> dict[str, Any]:
    """Move the champion and send its event, or skip if the model is held.

    Args:
        decided: result of `decide`.
        answer: result of `approve`. It is None if nobody was asked, or if somebody has set the state of `approve` by hand.
    """
    from fsat_tasks.registry.history import promoted_since
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.steps.pipeline import summary

    loaded = load(params, decided["chosen"])
    registry = Registry(store().root, loaded.name)
    # an earlier try may have moved the champion and been killed before it sent the event;
    # so a later try looks for a promotion since `decide`, and not since its own start
    version = decided["replaces"] if ti.try_number > 1 else registry.version()
    published, reasons = _enter(loaded, decided, answer)
    if reasons:
        report = published.path / "report.html"
        raise AirflowSkipException(f"Held, the champion is unchanged. {'; '.join(reasons)}. Report: {report}")
    champion = registry.champion()
    if champion is not None and not loaded.dry_run and promoted_since(champion, published.key, version):
        asset = Asset(name=f"champion-{loaded.name}", uri=f"fsat://champion/{loaded.name}")
        outlet_events[CHAMPIONS].add(asset, extra={key: champion[key] for key in ("version", "model", "metrics")})
    return summary(published)


def _enter(loaded: Task, decided: dict[str, Any], answer: dict[str, Any] | None) -> tuple[Artefact, list[str]]:
    """Enter the decision in the registry. Returns the decision's artefact, and the reasons to hold the model if there are any."""
    from fsat_tasks.quality.gates import all_gates
    from fsat_tasks.registry.approval import NOT_APPROVED, awaits_approval, find_artefact, settle
    from fsat_tasks.steps.pipeline import run_steps

    def awaits(decision: Artefact) -> bool:
        return awaits_approval(loaded, store(), decision)

    key, approved = decided["key"], answer is not None and ApprovalOperator.APPROVE in answer["chosen_options"]
    # if there is no answer, somebody may have set the state of `approve` by hand, and that does not count as an approval
    asked = answer is not None or (loaded.spec.approval and awaits(find_artefact(store(), "publish", key)))
    published = (
        settle(loaded, key, decided["replaces"], approved)
        if asked
        else run_steps(loaded, until="publish", store=store())["publish"]
    )
    reasons = [f"{gate.gate}: {gate.reason.removesuffix('.')}" for gate in all_gates(published) if not gate.promote]
    # two cases: a person was asked and has not approved; or nobody was asked, but another run has moved the champion since
    # `decide`, so that a person has to approve now
    if not approved and (asked or awaits(published)):
        reasons.append(NOT_APPROVED)
    return published, reasons


@task(
    doc_md="#### Keep the champion with DVC\n\nEach version is a folder and a .dvc file in `published/TASK/`."
    " `fsat checkout TASK VERSION` brings one back.",
    map_index_template=NAME,
    max_active_tis_per_dag=1,  # because DVC locks the repository
    multiple_outputs=False,
    **DVC,
)
def snapshot(chosen: Chosen, made: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Keep the champion in the repository. Skip if there is no new champion, or no repository to keep it in."""
    from fsat_tasks.integrations.dvc import find_repository
    from fsat_tasks.registry.approval import find_artefact
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.snapshots.snapshot import take_snapshot

    data, name = Workspace.from_env().data, str(chosen["task"])
    if params["dry_run"]:
        raise AirflowSkipException("Dry run: nothing was published.")
    if find_repository(data) is None:
        raise AirflowSkipException(
            f"FSAT_DATA {data} lies in no Git repository with DVC. To keep versions, run git init and dvc init above it."
        )
    model = find_artefact(store(), made["step"], made["key"]).json("decision.json")["model"]
    champion = Registry(store().root, name).champion()
    if champion is None or champion["model"]["digest"] != model["digest"]:
        raise AirflowSkipException("The champion is another model now: a person or another run has moved it.")
    return take_snapshot(name)
