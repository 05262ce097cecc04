"""The one way to run the steps, which the command line, DVC and Airflow share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fsat_tasks.registry.signature import signing_key
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.steps.order import steps_until
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["Report", "run_steps", "summary"]

log = logging.getLogger(__name__)

Report = Callable[[str, Artefact | None], None]
"""Called twice for each step: with its name and None before it starts, with its name and its artefact after it."""


def run_steps(
    task: Task, until: str = "publish", report: Report | None = None, store: Store | None = None, kept: Kept | None = None
) -> dict[str, Artefact]:
    """Run the steps up to `until`. An artefact that the store has already is not made again.

    A caller may ask for any step, in any process: artefacts of earlier steps that are missing, damaged or out of date
    are made first.

    Args:
        until: name of the last step to run.
        report: called before and after each step.
        store: the store; by default the one that FSAT_STORE names.
        kept: objects that stay open for the next task of this process.

    Returns:
        Step -> artefact.
    """
    run = Run(task, store or Store(Workspace.from_env().store), kept=kept)
    steps = steps_until(until)
    if until != "validate":  # fail before anything is written if this machine lacks encoder or device
        _ = run.source
        pick_device(task.spec.device)
    if until == "publish":
        signing_key()
    with run.store.in_use():
        for name, step in steps:
            if report is not None:
                report(name, None)
            with at_work(task.name, name):
                artefact = run.artefacts[name] = step(run)
                level = logging.INFO if artefact.built or name == until else logging.DEBUG
                log.log(level, "%s %s: %s %s", task.name, name, "built" if artefact.built else "found", artefact.path)
            if report is not None:
                report(name, artefact)
    return run.artefacts


def summary(artefact: Artefact) -> dict[str, Any]:
    """Return the facts of an artefact that a caller passes on: references and small numbers, never data."""
    return {**artefact.reference(), "path": str(artefact.path), "built": artefact.built, **artefact.manifest["notes"]}
