"""What the DAG files share: the tasks on offer, how they retry, and how a run's form becomes a task. It is no DAG file itself."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import (  # type: ignore[attr-defined]  # its stubs lack those of deadlines
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
)

from fsat_tasks.errors import AirflowError, InputError
from fsat_tasks.integrations.airflow_deadline import tell_of_deadline
from fsat_tasks.tasks.workspace import Workspace

if TYPE_CHECKING:
    from fsat_tasks.store import Store

log = logging.getLogger(__name__)

TASKS = Workspace.from_env().task_names() or ["support-intents"]
"""What a form offers. Where there is no task yet, a run of the demo's name fails and says how to make one."""

RETRY_POLICY = ExceptionRetryPolicy(
    [
        RetryRule("fsat_tasks.errors.StoreError", RetryAction.DEFAULT, reason="A full or shared file system may come back."),
        RetryRule("fsat_tasks.errors.InputError", RetryAction.FAIL, reason="The same input would fail again."),
        RetryRule(
            ["fsat_tasks.errors.OutOfMemoryError", "builtins.MemoryError"],
            RetryAction.RETRY,
            timedelta(seconds=30),
            reason="Out of memory: there may be more when other work is done.",
        ),
    ]
)


def tell_of_failure(context: Any) -> None:
    """The last line in the log of a try that failed: which step of which task, what is wrong where, and what to do."""
    ti, error = context["ti"], context.get("exception")
    of = ti.rendered_map_index or context["params"].get("task") or ti.dag_id
    if error is None:  # said by the dag-processor, for a process that can say nothing any more
        log.error("%s of %s is gone: it was killed, or its worker was lost. What it had done is kept.", ti.task_id, of)
        return
    why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}. The traceback above says where."
    then = "It is tried again." if ti.state == "up_for_retry" else "When that is put right, clear the task."
    log.error("%s of %s failed: %s %s", ti.task_id, of, why, then)


DEFAULT_ARGS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "retry_policy": RETRY_POLICY,
    "on_failure_callback": tell_of_failure,
    "on_retry_callback": tell_of_failure,
}

GPU: dict[str, Any] = {"pool": "gpu"} | {
    option: value for option in ("queue", "executor") if (value := os.environ.get(f"FSAT_GPU_{option.upper()}"))
}
"""Where the steps run that may use a GPU; on the default queue of the default executor, unless FSAT_GPU_QUEUE or
FSAT_GPU_EXECUTOR is set where DAG files are parsed."""

FILE: dict[str, Any] = {"type": ["null", "string"], "minLength": 1, "maxLength": 500}
"""The form's field for a file below FSAT_DATA; empty for none."""


def deadline() -> DeadlineAlert | None:
    """A line in the triggerer's log where a run is not done FSAT_DEADLINE_HOURS after it was queued; None, as by default, for 0.

    In the triggerer, because all slots of the workers may be what a late run waits for. By default there is none, because
    `dag.test()` of Airflow 3.3 cannot end a run that has one.
    """
    said = os.environ.get("FSAT_DEADLINE_HOURS") or "0"
    try:
        hours = float(said)
        interval = timedelta(hours=hours)
    except (ValueError, OverflowError):
        raise AirflowError("FSAT_DEADLINE_HOURS", "a number of hours, 0 for no deadline", repr(said)) from None
    if hours <= 0:
        return None
    callback = AsyncCallback(tell_of_deadline, {"hours": hours})
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, interval, callback, name="fsat")


def settings() -> dict[str, Any]:
    """What every DAG that works on tasks is made with."""
    return {
        "catchup": False,
        "max_active_runs": 4,
        "deadline": deadline(),
        "default_args": DEFAULT_ARGS,
        "tags": ["fsat", "few-shot"],
    }


def of_task(argument: str) -> str:
    """The name of a mapped instance in the UI: the task that is in this argument of its function."""
    return f"{{{{ task.op_kwargs['{argument}']['task'] }}}}"


def store() -> Store:
    from fsat_tasks.store import Store

    return Store(Workspace.from_env().store)
