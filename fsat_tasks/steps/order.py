"""The order of the steps. A step takes a run, reads the artefacts of earlier steps, and returns its own artefact."""

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
    """Return the steps up to and including `last`, with their names."""
    names = list(STEPS)
    return [(name, STEPS[name]) for name in names[: names.index(last) + 1]]
