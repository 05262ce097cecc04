"""The order of the steps, and the one way to run them that the command line, DVC and Airflow share."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

from fsat_tasks.encoder_source import find_encoder
from fsat_tasks.session import pick_device
from fsat_tasks.signature import signing_key
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Store
from fsat_tasks.workspace import Workspace

__all__ = ["STEPS", "run_shard", "run_steps", "shards", "summary"]

log = logging.getLogger(__name__)

STEPS: dict[str, tuple[str, ...]] = {
    "validate": (),
    "extract": ("validate",),
    "tune": ("validate", "extract"),
    "evaluate": ("validate", "extract", "tune"),
    "export": ("validate", "tune", "evaluate"),
    "publish": ("validate", "extract", "tune", "evaluate", "export"),
}
"""Each step and the steps whose artefacts it takes; a step is the function of its name in the module of its name."""


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
    store = Store(Workspace.from_env().store)
    artefacts: dict[str, Artefact] = {}
    with store.in_use():
        for step in needed:
            if report is not None:
                report(step, None)
            function = getattr(importlib.import_module(f"fsat_tasks.{step}"), step)
            artefact: Artefact = function(task, store, *(artefacts[parent] for parent in STEPS[step]))
            artefacts[step] = artefact
            level = logging.INFO if artefact.built or step == until else logging.DEBUG
            log.log(level, "%s %s: %s %s", task.name, step, "built" if artefact.built else "found", artefact.path)
            if report is not None:
                report(step, artefact)
    return artefacts


def shards(task: Task) -> list[int]:
    """Numbers of the shards that the task's texts are encoded in."""
    from fsat_tasks.extract import shard_count
    from fsat_tasks.precision import task_encoder

    store = Store(Workspace.from_env().store)
    with store.in_use():
        validated = run_steps(task, "validate")["validate"]
        task_encoder(task, store, validated)  # made once, and not by every worker at the same time
        return list(range(shard_count(task, validated)))


def run_shard(task: Task, shard: int) -> dict[str, int]:
    """Encode one shard; with all of them done, by whichever workers, the step `extract` only gathers them."""
    from fsat_tasks.extract import encode_shard

    store = Store(Workspace.from_env().store)
    with store.in_use():
        return encode_shard(task, store, run_steps(task, "validate")["validate"], shard)


def _needed(step: str) -> list[str]:
    wanted = {step}
    for name in reversed(STEPS):
        if name in wanted:
            wanted.update(STEPS[name])
    return [name for name in STEPS if name in wanted]


def summary(artefact: Artefact) -> dict[str, Any]:
    """What a caller passes on about an artefact: references and small numbers, never data."""
    return {**artefact.reference(), "path": str(artefact.path), "built": artefact.built, **artefact.manifest["notes"]}
