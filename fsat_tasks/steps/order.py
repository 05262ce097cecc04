"""The order of the steps. Each is a function of a run: it takes what the steps before it made, and returns one artefact."""

from __future__ import annotations

from collections.abc import Callable

from fsat_tasks.runs.run import Run
from fsat_tasks.steps.evaluate import evaluate
from fsat_tasks.steps.export import export
from fsat_tasks.steps.extract import extract
from fsat_tasks.steps.publish import publish
from fsat_tasks.steps.tune import tune
from fsat_tasks.steps.validate import validate
from fsat_tasks.store import Artefact

__all__ = ["STEPS", "steps_until"]

Step = Callable[[Run], Artefact]

STEPS: dict[str, Step] = {
    "validate": validate,
    "extract": extract,
    "tune": tune,
    "evaluate": evaluate,
    "export": export,
    "publish": publish,
}


def steps_until(last: str) -> list[tuple[str, Step]]:
    """The steps up to `last`, and it."""
    names = list(STEPS)
    return [(name, STEPS[name]) for name in names[: names.index(last) + 1]]
