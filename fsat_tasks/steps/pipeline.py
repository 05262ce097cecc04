"""Run the steps. The command line, DVC and Airflow all call this module."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fsat_tasks.registry.signature import signing_key
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.steps.order import steps_until
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["Report", "run_steps", "summary"]

log = logging.getLogger(__name__)

Report = Callable[[str, Artefact | None], None]
"""Callback. Before a step, it gets the step's name and None. After the step, it gets the step's name and its artefact."""


def run_steps(
    task: Task, until: str = "publish", report: Report | None = None, store: Store | None = None, kept: Kept | None = None
) -> dict[str, Artefact]:
    """Run the steps up to `until`. An artefact that is already in the store is not made again.

    A caller may ask for any step, in any process. Artefacts of earlier steps are made first if they are missing, damaged or out
    of date.

    Args:
        until: name of the last step to run.
        report: called before and after each step.
        store: the store; by default the one that FSAT_STORE names.
        kept: cache of values that this process keeps open for its next task.

    Returns:
        Step -> artefact.
    """
    run = Run(task, store or Store(Workspace.from_env().store), kept=kept)
    steps = steps_until(until)
    if until != "validate":  # if this machine lacks the encoder or the device, fail before anything is written
        _ = run.source
        pick_device(task.spec.device)
    if until == "publish":
        signing_key()
    with run.store.in_use():
        for number, (name, step) in enumerate(steps, start=1):
            if report is not None:
                report(name, None)
            with at_work(task.name, name), show_work(f"{name}, step {number} of {len(steps)}"):
                artefact = run.artefacts[name] = step(run)
                level = logging.INFO if artefact.built or name == until else logging.DEBUG
                log.log(level, "%s %s: %s %s", task.name, name, "built" if artefact.built else "found", artefact.path)
            if report is not None:
                report(name, artefact)
    return run.artefacts


def summary(artefact: Artefact) -> dict[str, Any]:
    """Return an artefact's step, key, digest, path and notes, and whether it was made now. A caller can print or send them."""
    return {**artefact.reference(), "path": str(artefact.path), "built": artefact.built, **artefact.manifest["notes"]}
