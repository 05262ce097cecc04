"""What the tasks of the DAG fsat_tune do: each calls a function of fsat_tasks, and tells Airflow what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, AssetAlias, BaseOperatorLink
from airflow.sdk.exceptions import AirflowSkipException

from fsat_common import store
from fsat_tasks.errors import InputError
from fsat_tasks.tasks.workspace import Workspace

if TYPE_CHECKING:
    from fsat_tasks.store import Artefact
    from fsat_tasks.tasks.task import Task

CHAMPIONS = AssetAlias("fsat-champions")
DRIFT = AssetAlias("fsat-drift")

CHANGED = "*"
"""In place of a task's name, which it cannot be: every task that changed."""

Chosen = dict[str, str | None]
"""One of the run's tasks: its name, and the file of unlabelled texts in place of task.yaml's."""


def load(params: Mapping[str, Any], of: Chosen, decide_only: bool = False) -> Task:
    from fsat_tasks.tasks.task import load_task

    overrides = instead(params) | {"unlabelled": of["unlabelled"]}
    return load_task(str(of["task"]), overrides, params["dry_run"] or decide_only)


def instead(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the form says in place of task.yaml."""
    approval = {"yes": True, "no": False}.get(params["approval"])  # the form's menus show words only
    return {field: params[field] for field in ("shots", "encoder", "seed", "device")} | {"approval": approval}


def choose(**context: Any) -> list[Chosen]:
    """What `choose` does: name the tasks of this run."""
    params, events = context["params"], context["triggering_asset_events"]
    drifted = {event.extra["task"]: event.extra.get("unlabelled") for event in events[DRIFT]} if DRIFT in events else {}
    if drifted:
        return [{"task": name, "unlabelled": file} for name, file in drifted.items()]
    if params["task"] != CHANGED and context["dag_run"].run_type != "scheduled":
        return [{"task": params["task"], "unlabelled": params["unlabelled"]}]
    from fsat_tasks.steps.changed import changed_tasks

    changed = changed_tasks(overrides=instead(params))
    if not changed:
        raise AirflowSkipException("No task has changed since its last decision.")
    return [{"task": name, "unlabelled": None} for name in changed]


def split(**context: Any) -> list[dict[str, Any]]:
    """What `split` does: number the shards of the pools."""
    from fsat_tasks.steps.shards import shards

    sound = []
    for one in context["ti"].xcom_pull(task_ids="choose"):
        with suppress(InputError):  # its own steps say what is wrong
            sound.append((one, load(context["params"], one)))
    return [{"of": sound[number][0], "shard": shard} for number, shard in shards([task for _, task in sound])]


def encode(work: dict[str, Any], **context: Any) -> dict[str, int]:
    """What each mapped `encode` does: encode one shard into the row cache."""
    from fsat_tasks.steps.shards import run_shard

    return run_shard(load(context["params"], work["of"]), work["shard"])


def run_step(name: str, of: Chosen, **context: Any) -> dict[str, Any]:
    """What every step's task does: run it as the command line and DVC do, pass on the artefact's key and figures.

    The steps before it are found in the store.
    """
    from fsat_tasks.steps.pipeline import run_steps, summary

    return summary(run_steps(load(context["params"], of), until=name)[name])


def decide(_: str, of: Chosen, **context: Any) -> dict[str, Any]:
    """What `decide` does: the step publish, but for the champion."""
    from fsat_tasks.steps.pipeline import run_steps, summary

    return summary(run_steps(load(context["params"], of, decide_only=True), until="publish")["publish"])


class ReportLink(BaseOperatorLink):  # type: ignore[misc]
    """The button of `decide` that opens the report."""

    name = "Report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Called when the task has ended, with its instance."""
        from fsat_tasks.registry.approval import report_link

        made = ti_key.xcom_pull(task_ids=ti_key.task_id, map_indexes=ti_key.map_index)
        return report_link(made["key"]) if made else ""  # it is asked for after a failure too


class ApproveChampion(ApprovalOperator):  # type: ignore[misc]
    """Airflow's approval of what `decide` decided; skipped where nobody has to be asked."""

    template_fields = (*ApprovalOperator.template_fields, "of", "decided")

    def __init__(self, of: Chosen, decided: dict[str, Any], **options: Any) -> None:
        super().__init__(subject="Promote the new model?", defaults=ApprovalOperator.REJECT, **options)
        self.of, self.decided = of, decided

    def execute(self, context: Any) -> None:
        from fsat_tasks.registry.approval import approval_page, awaits_approval, find_artefact, keep_until_answered
        from fsat_tasks.registry.registry import Registry

        task = load(context["params"], self.of)
        published = find_artefact(store(), "publish", self.decided["key"])
        if not awaits_approval(task, store(), published):
            raise AirflowSkipException("Nobody is asked: task.yaml or the form does not want it, or the champion stays anyway.")
        context["ti"].xcom_push("asked", {"key": published.key, "replaces": Registry(store().root, task.name).version()})
        keep_until_answered(task, store(), published)
        self.subject = f"Promote the new model of {task.name}?"
        self.body = approval_page(task, store(), published)
        self.response_timeout = timedelta(hours=task.spec.approval_hours)
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Called with the answer. A no is recorded here, since it skips publish."""
        if event.get("chosen_options") == [self.REJECT]:
            settle_answer(context, self.of, approved=False)
        return super().execute_complete(context, event)


def from_approval(context: Mapping[str, Any], key: str) -> Any:
    """What `approve` pushed for the task of this instance; None where it was skipped."""
    ti = context["ti"]
    return ti.xcom_pull(task_ids="model.approve", key=key, map_indexes=ti.map_index)


def settle_answer(context: Mapping[str, Any], of: Chosen, approved: bool) -> Artefact:
    from fsat_tasks.registry.approval import settle

    asked = from_approval(context, "asked")
    return settle(load(context["params"], of), asked["key"], asked["replaces"], approved)


def publish(name: str, of: Chosen, **context: Any) -> dict[str, Any]:
    """What `publish` does: move the champion and tell of it; or skip, where the model is held."""
    from fsat_tasks.quality.gates import all_gates
    from fsat_tasks.registry.approval import NOT_APPROVED, awaits_approval
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.steps.pipeline import run_steps, summary

    task = load(context["params"], of)
    asked = from_approval(context, "asked") is not None
    approved = ApprovalOperator.APPROVE in (from_approval(context, "return_value") or {}).get("chosen_options", ())
    published = settle_answer(context, of, approved) if asked else run_steps(task, until=name)[name]
    failed = [f"{gate.gate}: {gate.reason}" for gate in all_gates(published) if not gate.promote]
    # someone has set the state of `approve` by hand, or another run moved the champion since nobody had to be asked
    if not approved and (asked or awaits_approval(task, store(), published)):
        failed.append(NOT_APPROVED)
    if failed:
        raise AirflowSkipException(
            f"Held, the champion is unchanged. {'; '.join(failed)}. Report: {published.path / 'report.html'}"
        )
    champion = Registry(store().root, task.name).champion()
    if champion is not None and not task.dry_run:
        asset = Asset(name=f"champion-{task.name}", uri=f"fsat://champion/{task.name}")
        facts = {key: champion[key] for key in ("version", "model", "metrics")}
        context["outlet_events"][CHAMPIONS].add(asset, extra=facts)
    return summary(published)


def snapshot(of: Chosen, made: dict[str, Any], **context: Any) -> dict[str, Any]:
    """What `snapshot` does: keep the champion in the repository with DVC; or skip, where there is nothing or no place to keep."""
    from fsat_tasks.integrations.dvc import find_repository
    from fsat_tasks.registry.approval import find_artefact
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.snapshots.snapshot import snapshot as keep

    data, name = Workspace.from_env().data, str(of["task"])
    if context["params"]["dry_run"]:
        raise AirflowSkipException("Dry run: nothing was published.")
    if find_repository(data) is None:
        raise AirflowSkipException(f"FSAT_DATA {data} lies in no Git repository with DVC. To keep versions, make it one.")
    model = find_artefact(store(), made["step"], made["key"]).json("decision.json")["model"]
    champion = Registry(store().root, name).champion()
    if champion is None or champion["model"]["digest"] != model["digest"]:
        raise AirflowSkipException("The champion is another model: a person moved it there, or another run did since.")
    return keep(name)
