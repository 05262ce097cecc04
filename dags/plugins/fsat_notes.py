"""A plugin for Airflow's scheduler. When a run of fsat begins, its note says which task folder the run is for.

The ids of runs say only when they began. A task cannot write the note, because Airflow 3.3 has no call for it.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

CHANGED = "*"
"""Value of the form's Task that selects all tasks that changed."""


class TaskNote:
    """Writes the notes of runs."""

    @hookimpl
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:
        """Put the task folder before the run's note, unless the note has it. The scheduler calls this when a run begins."""
        text, note = about(dag_run), dag_run.note or ""
        if text and text not in note:
            dag_run.note = f"{text}\n\n{note}".strip()


def about(dag_run: Any) -> str:
    """Return what a run is for. It is empty if the run is not of fsat, or if its form is empty, which is for the only task."""
    if dag_run.dag_id not in ("fsat_tune", "fsat_watch", "fsat_apply"):
        return ""
    if drifted := sorted({event.extra["task"] for event in dag_run.consumed_asset_events if "task" in event.extra}):
        return f"Task {', '.join(drifted)}, because of drift"
    task = (dag_run.conf or {}).get("task")
    if task == CHANGED or dag_run.run_type == "scheduled":
        return "All tasks that have changed"
    return f"Task {task}" if task else ""


class FsatNotes(AirflowPlugin):
    """Registers the writer of notes. It runs in the scheduler, because only the scheduler starts runs."""

    name = "fsat_notes"
    listeners: ClassVar[list[Any]] = [TaskNote()]
