"""Notifiers that Airflow calls when a try of a task has failed. The one defined here writes a line to the try's log."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import BaseNotifier

from fsat_tasks.errors import InputError

log = logging.getLogger(__name__)


class FailureLog(BaseNotifier):
    """Writes the last line in the log of a failed try. The line names the step and the task, the fault, and what to do."""

    def notify(self, context: Any) -> None:
        """Write the line. The worker calls this after each failed try. If the worker is gone, the dag-processor calls it."""
        ti, error = context["ti"], context.get("exception")
        name = ti.rendered_map_index or context["params"].get("task") or ti.dag_id
        if error is None:  # the dag-processor calls this, because the try's process has died
            log.error("%s of %s is gone: it was killed, or its worker was lost. What it had done is kept.", ti.task_id, name)
            return
        expected = isinstance(error, InputError)
        why = str(error) if expected else f"{type(error).__name__}: {error}. The traceback above says where."
        then = "It is tried again." if ti.state == "up_for_retry" else "When that is put right, clear the task."
        log.error("%s of %s failed: %s %s", ti.task_id, name, why, then)


NOTIFIERS: list[BaseNotifier] = [FailureLog()]
"""Notifiers that are called after each failed try of every task. You may add others, such as those of Airflow's providers."""
