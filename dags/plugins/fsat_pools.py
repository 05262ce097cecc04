"""A plugin for Airflow's scheduler. When a run of fsat begins, the plugin reports each pool that a task of the run names
but that does not exist. Airflow lets the tasks of a missing pool wait without an error. The check is not an Airflow task,
because a task of Airflow 3.3 cannot ask which pools exist.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

log = logging.getLogger(__name__)


class PoolCheck:
    """Compares the pools that a run's tasks name with the pools that exist."""

    @hookimpl
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:
        """Write a missing pool to the scheduler's log and the run's note. The scheduler calls this when a run begins."""
        from airflow.models.pool import Pool
        from sqlalchemy import select
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None or not dag_run.dag_id.startswith("fsat_"):
            return
        pools = set(session.scalars(select(Pool.pool)))
        for missing in sorted({task.pool for task in dag_run.dag.tasks} - pools):
            waiting = ", ".join(sorted(task.task_id for task in dag_run.dag.tasks if task.pool == missing))
            text = f"The pool {missing!r} does not exist. Until it does, these tasks wait: {waiting}."
            text += f" Make it: airflow pools set {missing} 1 fsat"
            log.error("%s, run %s: %s", dag_run.dag_id, dag_run.run_id, text)
            dag_run.note = f"{dag_run.note}\n\n{text}" if dag_run.note else text


class FsatPools(AirflowPlugin):
    """Registers the check. It runs in the scheduler, because only the scheduler starts runs."""

    name = "fsat_pools"
    listeners: ClassVar[list[Any]] = [PoolCheck()]
