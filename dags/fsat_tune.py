"""## From a handful of labelled samples to a published ONNX model

`validate >> extract >> tune >> evaluate >> export >> publish`: each task is one fsat step, the same function that
`fsat STEP TASK` and `dvc repro` call. Its artefact goes to the store (`FSAT_STORE`) under a key of all that it depends
on; XCom carries that key and a few figures. What the store has already is not done again, so a task may be cleared,
retried or run twice at any time.

**Parameters.** `task` names a folder with a `task.yaml` under `FSAT_DATA`. `shots`, `encoder`, `seed` and `device` stand
in for what `task.yaml` says, for this run only; leave them empty to keep it. `dry_run` does all but publish.

**Promoted.** The model becomes the task's champion, and the asset `champion-TASK` gets an event with its version, model
and metrics; schedule on the asset alias `fsat-champions` to hear of every task. An event says which model is champion
now: after a retry or a run that changed nothing it says the same again.

**Held.** A gate says no: the champion stays as it is, no asset event goes out, and `publish` ends as *skipped* (the run
itself as success). Its log gives each failed gate with the figure and the bound, and the path of the report.

**Failed.** Bad input fails at once: the task's log names the file, row and field, and what to do; then clear the task.
Anything else, and first of all a lack of memory, is tried twice more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetAlias, ExceptionRetryPolicy, Param, RetryAction, RetryRule, chain, task
from airflow.sdk.exceptions import AirflowSkipException

from fsat_tasks.workspace import Workspace

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from fsat_tasks.store import Artefact

TASKS = Workspace.from_env().task_names() or ["support-intents"]
"""What the form offers. Where there is no task yet, a run of the demo's name fails and says how to make one."""

CHAMPIONS = AssetAlias("fsat-champions")

RETRY_POLICY = ExceptionRetryPolicy([
    RetryRule("fsat_tasks.errors.StoreError", RetryAction.DEFAULT, reason="A full or shared file system may come back."),
    RetryRule("fsat_tasks.errors.InputError", RetryAction.FAIL, reason="The same input would fail again."),
    RetryRule(
        ["fsat_tasks.errors.OutOfMemoryError", "builtins.MemoryError"], RetryAction.RETRY, timedelta(seconds=30),
        reason="Out of memory: there may be more when other work is done.",
    ),
])  # fmt: skip

PARAMS = {
    "task": Param(
        TASKS[0], type="string", enum=TASKS, title="Task",
        description="A folder with a task.yaml under FSAT_DATA; a new one is offered here after the next parse of this file.",
    ),
    "shots": Param(
        None, type=["null", "integer"], minimum=1, maximum=1000, title="Shots",
        description="Labelled samples to use of each class, 1 to 1000. Empty: what task.yaml says, by default all.",
    ),
    "encoder": Param(
        None, type=["null", "string"], minLength=1, maxLength=200, title="Encoder",
        description="A bundled name such as all-MiniLM-L6-v2, or org/model on this machine. Empty: what task.yaml says.",
    ),
    "seed": Param(
        None, type=["null", "integer"], minimum=0, maximum=2**32 - 1, title="Seed",
        description="Seed of every random draw, from 0. Empty: what task.yaml says, by default 0.",
    ),
    "device": Param(
        None, type=["null", "string"], enum=[None, "auto", "cpu", "cuda"], title="Device",
        description="auto takes a GPU where there is one; cuda fails where there is none. Empty: what task.yaml says.",
    ),
    "dry_run": Param(
        False, type="boolean", title="Dry run",
        description="Do every step and decide, but leave the champion and its history as they are.",
    ),
}  # fmt: skip


def run_step(name: str, params: Mapping[str, Any]) -> Artefact:
    """Run a step as the command line and DVC do; the steps before it are found in the store."""
    from fsat_tasks.pipeline import run_steps
    from fsat_tasks.spec import load_task

    overrides = {field: params[field] for field in ("shots", "encoder", "seed", "device")}
    return run_steps(load_task(params["task"], overrides, params["dry_run"]), until=name)[name]


def refer(name: str, **context: Any) -> dict[str, Any]:
    """What every task does: run its step, pass on the artefact's key and figures."""
    from fsat_tasks.pipeline import summary

    return summary(run_step(name, context["params"]))


def refer_or_skip(name: str, **context: Any) -> dict[str, Any]:
    """What publish does: the same, then tell of the champion; or skip, where the decision is to hold."""
    from fsat_tasks.pipeline import summary
    from fsat_tasks.registry import Registry

    params = context["params"]
    published = run_step(name, params)
    decision = published.json("decision.json")
    if not decision["promote"]:
        failed = "; ".join(f"{gate['gate']}: {gate['reason']}" for gate in decision["gates"] if not gate["promote"])
        raise AirflowSkipException(f"Held, the champion is unchanged. {failed}. Report: {published.path / 'report.html'}")
    champion = Registry(Workspace.from_env().store, params["task"]).champion()
    if champion is not None and not params["dry_run"]:
        asset = Asset(name=f"champion-{params['task']}", uri=f"fsat://champion/{params['task']}")
        facts = {key: champion[key] for key in ("version", "model", "metrics")}
        context["outlet_events"][CHAMPIONS].add(asset, extra=facts)
    return summary(published)


def step(name: str, role: str, body: Callable[..., dict[str, Any]] = refer, **options: Any) -> XComArg:
    return task(task_id=name, doc_md=role, **options)(body)(name)


with DAG(
    "fsat_tune",
    description="Tune, gate and publish a classifier from a few labelled samples per class.",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=4,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_policy": RETRY_POLICY},
    tags=["fsat", "few-shot"],
):
    chain(
        step("validate", "Check the task's data with Great Expectations."),
        step("extract", "Encode every different text of the task, once.", pool="gpu"),
        step("tune", "Fit the calibrated head, its settings chosen by leave-one-out evidence.", pool="gpu"),
        step("evaluate", "Measure the head and ask the quality gates."),
        step("export", "Write one ONNX graph from token ids to probabilities, and compare it with torch."),
        step("publish", "Promote the model, or hold it and end as skipped.", refer_or_skip, outlets=[CHAMPIONS]),
    )
