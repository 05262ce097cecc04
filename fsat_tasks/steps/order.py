"""The order of the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fsat_tasks.steps.evaluate import evaluate
from fsat_tasks.steps.export import export
from fsat_tasks.steps.extract import extract
from fsat_tasks.steps.publish import publish
from fsat_tasks.steps.tune import tune
from fsat_tasks.steps.validate import validate
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

FUNCTIONS: dict[str, Callable[..., Artefact]] = {
    step.__name__: step for step in (validate, extract, tune, evaluate, export, publish)
}


def _results(task: Task, store: Store, steps: list[str]) -> Iterator[Artefact]:
    """The artefact of each of the steps, which are in order, with all that they take among them."""
    artefacts: dict[str, Artefact] = {}
    for step in steps:
        artefacts[step] = FUNCTIONS[step](task, store, *(artefacts[parent] for parent in STEPS[step]))
        yield artefacts[step]


def _needed(step: str) -> list[str]:
    wanted = {step}
    for name in reversed(STEPS):
        if name in wanted:
            wanted.update(STEPS[name])
    return [name for name in STEPS if name in wanted]
