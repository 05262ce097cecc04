"""What the DAG files share: the tasks on offer, how they retry, and how a run's form becomes a task. It is no DAG file itself."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from fsat_tasks.workspace import Workspace

if TYPE_CHECKING:
    from fsat_tasks.store import Store

TASKS = Workspace.from_env().task_names() or ["support-intents"]
"""What a form offers. Where there is no task yet, a run of the demo's name fails and says how to make one."""

RETRY_POLICY = ExceptionRetryPolicy([
    RetryRule("fsat_tasks.errors.StoreError", RetryAction.DEFAULT, reason="A full or shared file system may come back."),
    RetryRule("fsat_tasks.errors.InputError", RetryAction.FAIL, reason="The same input would fail again."),
    RetryRule(
        ["fsat_tasks.errors.OutOfMemoryError", "builtins.MemoryError"], RetryAction.RETRY, timedelta(seconds=30),
        reason="Out of memory: there may be more when other work is done.",
    ),
])  # fmt: skip

DEFAULT_ARGS: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(minutes=1), "retry_policy": RETRY_POLICY}

GPU: dict[str, Any] = {"pool": "gpu"} | {
    option: value for option in ("queue", "executor") if (value := os.environ.get(f"FSAT_GPU_{option.upper()}"))
}
"""Where the steps run that may use a GPU; on the default queue of the default executor, unless FSAT_GPU_QUEUE or
FSAT_GPU_EXECUTOR is set where DAG files are parsed."""

FILE: dict[str, Any] = {"type": ["null", "string"], "minLength": 1, "maxLength": 500}
"""The form's field for a file below FSAT_DATA; empty for none."""


def of_task(argument: str) -> str:
    """The name of a mapped instance in the UI: the task that is in this argument of its function."""
    return f"{{{{ task.op_kwargs['{argument}']['task'] }}}}"


def store() -> Store:
    from fsat_tasks.store import Store

    return Store(Workspace.from_env().store)
