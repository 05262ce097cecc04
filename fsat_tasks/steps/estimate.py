"""An estimate of the time that a run takes at most, for a person who waits. No result depends on it."""

from __future__ import annotations

import math

from fsat_tasks.steps.changed import unmade_steps
from fsat_tasks.store.lookup import LookupStore
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["estimate_seconds", "say_estimate"]

SECONDS = {"validate": 10.0, "extract": 10.0, "tune": 40.0, "evaluate": 20.0, "export": 30.0, "publish": 20.0}
"""Seconds of each step on two idle cores with the bundled encoder, without the encoding of rows and the fine-tuning."""
ROWS_A_SECOND = 100.0
"""Texts that two idle cores encode in a second, with the bundled encoder in fp32."""
OVER_BUDGET = 1.25
"""Ratio of the time of fine-tuning to its planned time."""


def estimate_seconds(task: Task, last: str) -> float:
    """Return the seconds that the steps up to `last` take at most, by their rows and the budget; 0 if all of them are made.

    Rows count as not encoded yet, because the row cache is not asked.
    """
    run, steps = unmade_steps(task, LookupStore(Workspace.from_env().store), last)
    seconds = sum(SECONDS[step] for step in steps)
    if "extract" in steps and "validate" in run.artefacts:
        counts = run.validated.manifest["notes"]
        seconds += (counts["texts"] + min(counts.get("unlabelled", 0), task.spec.tune.pool_rows)) / ROWS_A_SECOND
    if "tune" in steps and task.spec.tune.body != "off":
        seconds += OVER_BUDGET * task.spec.tune.budget_seconds
    return seconds


def say_estimate(seconds: float) -> str:
    """Say an estimate in whole minutes."""
    minutes = math.ceil(seconds / 60)
    return f"at most about {minutes} minute{'' if minutes == 1 else 's'} on two idle cores with a small encoder"
