"""The message about a run that is not done in time. Airflow's triggerer sends it, which has no folder of DAGs on its path."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["tell_of_deadline"]

log = logging.getLogger(__name__)


async def tell_of_deadline(hours: float, context: Mapping[str, Any]) -> None:
    """Log one line: which DAG, run and problem.

    Args:
        hours: the deadline, counted from when the run was queued.
        context: Airflow's context of the run, with `dag_run` as its REST API shows it.
    """
    run = context["dag_run"]
    task = (run.get("conf") or {}).get("task") or "not named"
    log.error(
        "%s, run %s, task %s: not done %g hours after it was queued; its state is %s. Airflow's page of the run shows what it"
        " waits for: a person's approval, a slot of a pool, or a worker.",
        run["dag_id"],
        run["dag_run_id"],
        task,
        hours,
        run["state"],
    )
