"""Run several tasks in turn in one process. Data that tasks share is loaded once. If a task fails, the later tasks still run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fsat_tasks.errors import FsatError, InputError, facts
from fsat_tasks.quality.gates import all_gates
from fsat_tasks.registry.approval import awaits_approval
from fsat_tasks.registry.endings import ending_of
from fsat_tasks.registry.next_steps import Decided, after_run
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runtime.failures import say_type
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.steps.pipeline import run_steps, summary
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task

__all__ = ["Outcome", "outcome_of", "run_many", "worst_exit_code"]

log = logging.getLogger(__name__)

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
    failure: Mapping[str, Any] | None = None
    """The error as in `errors.facts`."""
    decided: Decided | None = None
    """The decision and what became of it; None if the run stopped with an error."""

    @property
    def error(self) -> str:
        """The message of the error, or an empty text."""
        return str(self.failure["message"]) if self.failure else ""

    @property
    def name(self) -> str:
        """The outcome in one or two words."""
        named = {EXIT_FAULT: "failed", EXIT_BAD_INPUT: "bad input", EXIT_HELD: "held"}
        if self.exit_code in named:
            return named[self.exit_code]
        return "done" if any(artefact.built for artefact in self.artefacts.values()) else "unchanged"

    def to_json(self, again: str = "") -> dict[str, Any]:
        """Return the outcome as JSON. `ending` names an `Ending`, `error` is as in `errors.facts`, `again` as in `after_run`."""
        steps = {step: summary(artefact) for step, artefact in self.artefacts.items()}
        next_steps = after_run(self.decided, again).to_json() if self.decided else {"says": None, "hint": None, "next": []}
        ending = self.decided and self.decided.ending
        facts = {"task": self.task, "outcome": self.name, "ending": ending, "exit_code": self.exit_code, "error": self.failure}
        return {**facts, **next_steps, "steps": steps}


def run_many(names: Iterable[str], load: Callable[[str], Task], report: Callable[[Outcome], None], store: Store) -> list[Outcome]:
    """Run all steps of each task, in the order of `names`. A task that fails, or whose model is held, stops no later task.

    Args:
        load: loads a task by its name, with the run's options.
        report: called with the outcome of each task when the task has ended.
    """
    outcomes, kept, all_names = [], Kept(), list(names)
    for number, name in enumerate(all_names, start=1):
        with show_work(f"{name}, task {number} of {len(all_names)}"):
            outcomes.append(_run_one(name, load, store, kept))
        report(outcomes[-1])
    return outcomes


def worst_exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 2 if any task has bad input, else 1 if any failed, else 3 if any was held, else 0."""
    codes = {outcome.exit_code for outcome in outcomes}
    return next((code for code in (EXIT_BAD_INPUT, EXIT_FAULT, EXIT_HELD) if code in codes), 0)


def outcome_of(task: Task, artefacts: Mapping[str, Artefact], store: Store, before: int, started: float) -> Outcome:
    """Return the outcome of a run that ended with a decision.

    Args:
        before: the champion's version before the run; 0 if there was none.
        started: time by `time.perf_counter` when the run began.
    """
    published, champion = artefacts["publish"], Registry(store.root, task.name).champion()
    decision, awaits = published.json("decision.json"), awaits_approval(task, store, published)
    ending = ending_of(decision, champion, before, awaits, task.dry_run)
    decided = Decided(task.name, ending, decision, all_gates(published), champion, before)
    return Outcome(task.name, EXIT_HELD if ending.is_hold else 0, time.perf_counter() - started, artefacts, decided=decided)


def _run_one(name: str, load: Callable[[str], Task], store: Store, kept: Kept) -> Outcome:
    started = time.perf_counter()
    try:
        task = load(name)
        before = Registry(store.root, name).version()
        artefacts = run_steps(task, store=store, kept=kept)
        return outcome_of(task, artefacts, store, before, started)
    except FsatError as error:
        code = EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_FAULT
        return Outcome(name, code, time.perf_counter() - started, {}, facts(error))
    except Exception as error:  # a mistake in fsat or in a library must not stop the other tasks either
        log.exception("%s failed", name)
        failure = facts(error) | {"message": say_type(error)}
        return Outcome(name, EXIT_FAULT, time.perf_counter() - started, {}, failure)
