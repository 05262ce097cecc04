"""The order of the steps, and the one way to run them that the command line, DVC and Airflow share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.registry.signature import signing_key
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.steps.order import _needed, _results
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.spec import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["run_steps", "summary"]

log = logging.getLogger(__name__)


def run_steps(
    task: Task, until: str = "publish", report: Callable[[str, Artefact | None], None] | None = None
) -> dict[str, Artefact]:
    """Run the steps that `until` needs, and it; what the store has already is not done again.

    So each caller may ask for any step, in any process: whatever came before it and is missing, damaged or out of date
    is made first.

    Args:
        report: called with each step's name before it starts (and None) and after it (and its artefact).

    Returns:
        The artefact of each step.
    """
    needed = _needed(until)
    if "extract" in needed:  # what is missing on this machine is said before anything is written
        find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens)
        pick_device(task.spec.device)
    if until == "publish":
        signing_key()
    artefacts: dict[str, Artefact] = {}
    store = Store(Workspace.from_env().store)
    results = _results(task, store, needed)
    with store.in_use():
        for step in needed:
            if report is not None:
                report(step, None)
            with at_work(task.name, step):
                artefact = artefacts[step] = next(results)
                level = logging.INFO if artefact.built or step == until else logging.DEBUG
                log.log(level, "%s %s: %s %s", task.name, step, "built" if artefact.built else "found", artefact.path)
            if report is not None:
                report(step, artefact)
    return artefacts


def summary(artefact: Artefact) -> dict[str, Any]:
    """What a caller passes on about an artefact: references and small numbers, never data."""
    return {**artefact.reference(), "path": str(artefact.path), "built": artefact.built, **artefact.manifest["notes"]}
