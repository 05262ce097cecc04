"""Run several tasks in turn in one process. Data that tasks share is loaded once. If a task fails, the later tasks still run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fsat_tasks.errors import FsatError, InputError
from fsat_tasks.registry.approval import awaits_approval
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.steps.pipeline import run_steps, summary
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task

__all__ = ["Outcome", "run_many", "worst_exit_code"]

EXIT_FAULT, EXIT_BAD_INPUT, EXIT_HELD = 1, 2, 3


@dataclass(frozen=True)
class Outcome:
    """Outcome of one task's run."""

    task: str
    exit_code: int
    """Exit code that `fsat run` has if it runs only this task."""
    seconds: float
    artefacts: Mapping[str, Artefact]
    """Step -> artefact; empty if the run stopped with an error."""
    error: str = ""

    @property
    def name(self) -> str:
        """The outcome in one or two words."""
        named = {EXIT_FAULT: "failed", EXIT_BAD_INPUT: "bad input", EXIT_HELD: "held"}
        if self.exit_code in named:
            return named[self.exit_code]
        return "done" if any(artefact.built for artefact in self.artefacts.values()) else "unchanged"

    def to_json(self) -> dict[str, Any]:
        steps = {step: summary(artefact) for step, artefact in self.artefacts.items()}
        return {"outcome": self.name, "exit_code": self.exit_code, "error": self.error or None, "steps": steps}


def run_many(names: Iterable[str], load: Callable[[str], Task], report: Callable[[Outcome], None], store: Store) -> list[Outcome]:
    """Run all steps of each task, in the order of `names`. A task that fails, or whose model is held, stops no later task.

    Args:
        load: loads a task by its name, with the run's options.
        report: called with the outcome of each task when the task has ended.
    """
    outcomes, kept = [], Kept()
    for name in names:
        outcomes.append(_run_one(name, load, store, kept))
        report(outcomes[-1])
    return outcomes


def worst_exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 2 if any task has bad input, else 1 if any failed, else 3 if any was held, else 0."""
    codes = {outcome.exit_code for outcome in outcomes}
    return next((code for code in (EXIT_BAD_INPUT, EXIT_FAULT, EXIT_HELD) if code in codes), 0)


def _run_one(name: str, load: Callable[[str], Task], store: Store, kept: Kept) -> Outcome:
    started = time.perf_counter()
    try:
        task = load(name)
        artefacts = run_steps(task, store=store, kept=kept)
        published = artefacts["publish"]
        held = not published.json("decision.json")["promote"]
        waits = awaits_approval(task, store, published)
    except FsatError as error:
        code = EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_FAULT
        return Outcome(name, code, time.perf_counter() - started, {}, str(error))
    return Outcome(name, EXIT_HELD if held or waits else 0, time.perf_counter() - started, artefacts)
