"""The callback for a run that misses its deadline. Airflow's triggerer calls it.

The callback is in the package fsat_tasks, because the triggerer cannot import from the DAGs folder.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["tell_of_deadline"]

log = logging.getLogger(__name__)


async def tell_of_deadline(hours: float, context: Mapping[str, Any]) -> None:
    """Log one error line that names the DAG, the run, the task and the run's state.

    Args:
        hours: the deadline, in hours after the run was queued.
        context: Airflow's context of the run. `dag_run` has the format of the REST API.
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
