"""Settings of the DAGs: retries, pools and queues, and the deadline of a run."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import (  # type: ignore[attr-defined]  # airflow.sdk's stubs lack the deadline classes
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
)

from fsat_dags.failure import NOTIFIERS
from fsat_tasks.errors import AirflowError
from fsat_tasks.integrations.airflow_deadline import tell_of_deadline
from fsat_tasks.tasks.workspace import Workspace

if TYPE_CHECKING:
    from fsat_tasks.store import Store

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

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "fsat",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "retry_policy": RETRY_POLICY,
    "on_failure_callback": NOTIFIERS,
    "on_retry_callback": NOTIFIERS,
}


def placement(kind: str, *options: str) -> dict[str, Any]:
    """Return those options of an Airflow task that environment variables set. For example, FSAT_GPU_POOL sets `pool`.

    If a variable is not set, Airflow's default applies. The variables are read when DAG files are parsed.
    """
    values = {option: os.environ.get(f"FSAT_{kind}_{option.upper()}") for option in options}
    return {option: value for option, value in values.items() if value}


GPU = placement("GPU", "pool", "queue", "executor")
"""Placement of the steps that may use a GPU, from FSAT_GPU_POOL, FSAT_GPU_QUEUE and FSAT_GPU_EXECUTOR."""

DVC = placement("DVC", "pool")
"""Placement of the task `snapshot`, from FSAT_DVC_POOL."""


def deadline() -> DeadlineAlert | None:
    """Return an alert for runs that have not ended FSAT_DEADLINE_HOURS hours after they were queued, or None for 0 hours.

    The default is 0, because `dag.test()` of Airflow 3.3 cannot end a run that has a deadline. The alert is one line in the
    triggerer's log. The triggerer writes it, because a late run may have no worker yet.

    Raises:
        AirflowError: if the variable is not a number.
    """
    text = os.environ.get("FSAT_DEADLINE_HOURS") or "0"
    try:
        hours = float(text)
        interval = timedelta(hours=hours)
    except (ValueError, OverflowError):
        raise AirflowError("FSAT_DEADLINE_HOURS", "a number of hours, 0 for no deadline", repr(text)) from None
    if hours <= 0:
        return None
    callback = AsyncCallback(tell_of_deadline, {"hours": hours})
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, interval, callback, name="fsat")


def dag_settings() -> dict[str, Any]:
    """Return the arguments that fsat_tune, fsat_watch and fsat_apply share."""
    return {
        "catchup": False,
        "max_active_runs": 4,
        "deadline": deadline(),
        "default_args": DEFAULT_ARGS,
        "tags": ["fsat", "few-shot"],
    }


def store() -> Store:
    """Return the store that FSAT_STORE names."""
    from fsat_tasks.store import Store

    return Store(Workspace.from_env().store, caller="airflow")
