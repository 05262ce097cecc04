"""The order of the steps."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.spec import Task

__all__ = ["STEPS"]


STEPS: dict[str, tuple[str, ...]] = {
    "validate": (),
    "extract": ("validate",),
    "tune": ("validate", "extract"),
    "evaluate": ("validate", "extract", "tune"),
    "export": ("validate", "tune", "evaluate"),
    "publish": ("validate", "extract", "tune", "evaluate", "export"),
}
"""Each step and the steps whose artefacts it takes; a step is the function of its name in the module of its name."""


def _results(task: Task, store: Store, steps: list[str]) -> Iterator[Artefact]:
    """The artefact of each of the steps, which are in order, with all that they take among them."""
    artefacts: dict[str, Artefact] = {}
    for step in steps:
        function = getattr(importlib.import_module(f"fsat_tasks.{step}"), step)
        artefacts[step] = function(task, store, *(artefacts[parent] for parent in STEPS[step]))
        yield artefacts[step]


def _needed(step: str) -> list[str]:
    wanted = {step}
    for name in reversed(STEPS):
        if name in wanted:
            wanted.update(STEPS[name])
    return [name for name in STEPS if name in wanted]
