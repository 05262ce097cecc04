"""The order of the steps, and the one way to run them that the command line, DVC and Airflow share."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.errors import InputError
from fsat_tasks.history import number_of
from fsat_tasks.registry import Registry
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.signature import signing_key
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.lookup import LookupStore, NotMadeError
from fsat_tasks.tasks.spec import Task, load_task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["STEPS", "changed_tasks", "is_done", "run_shard", "run_steps", "shards", "summary"]

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


def is_done(task: Task) -> bool:
    """Whether a run would find every step's artefact in the store, and its decision in the registry."""
    looked_into = LookupStore(Workspace.from_env().store)
    try:
        *_, exported, published = _results(replace(task, dry_run=True), looked_into, list(STEPS))
    except NotMadeError:
        return False
    history = Registry(looked_into.root, task.name).history()
    return any(entry["decision"]["key"] == published.key for entry in history) or number_of(history, exported.digest) is not None


def changed_tasks(names: Sequence[str] = (), overrides: Mapping[str, Any] | None = None) -> list[str]:
    """Those of the tasks that are not done, in order. One with bad input is never done: its run says what is wrong.

    Args:
        names: by default all tasks.
        overrides: as `load_task` takes them.
    """
    asked = names or Workspace.from_env().task_names()
    return [name for name in asked if not _is_done_by_name(name, overrides)]


def _is_done_by_name(name: str, overrides: Mapping[str, Any] | None) -> bool:
    try:
        return is_done(load_task(name, overrides))
    except InputError:
        return False


def _results(task: Task, store: Store, steps: list[str]) -> Iterator[Artefact]:
    """The artefact of each of the steps, which are in order, with all that they take among them."""
    artefacts: dict[str, Artefact] = {}
    for step in steps:
        function = getattr(importlib.import_module(f"fsat_tasks.{step}"), step)
        artefacts[step] = function(task, store, *(artefacts[parent] for parent in STEPS[step]))
        yield artefacts[step]


def shards(tasks: Sequence[Task]) -> list[tuple[int, int]]:
    """The work that is to be shared out before `extract`: pairs of a task's number and of a shard of its texts.

    A pool that several tasks have in common is there once; few texts are left to the step itself. A task whose data are not sound
    is left out: its own steps say what is wrong.
    """
    from fsat_tasks.data.pool import find_pool
    from fsat_tasks.encoders.precision import task_encoder
    from fsat_tasks.extract import shard_counts

    found: dict[tuple[object, ...], tuple[int, int]] = {}
    store = Store(Workspace.from_env().store)
    for number, task in enumerate(tasks):
        try:
            validated = run_steps(task, "validate")["validate"]
        except InputError as error:
            log.warning("%s: %s", task.name, error)
            continue
        with store.in_use():
            encoder = task_encoder(task, store, validated)  # made once, and not by every worker at the same time
        of_texts, of_pool = shard_counts(task, validated)
        found |= {(number, shard): (number, shard) for shard in range(of_texts) if of_texts > 1}
        pool = find_pool(validated)
        if pool is not None:
            drawn = (pool.key, task.spec.tune.pool_rows, task.spec.seed, encoder.key, task.spec.device)
            for shard in range(of_pool):
                found.setdefault((*drawn, shard), (number, of_texts + shard))
    return list(found.values())


def run_shard(task: Task, shard: int) -> dict[str, int]:
    """Encode one shard; with all of them done, by whichever workers, the step `extract` only gathers them."""
    from fsat_tasks.extract import encode_shard

    store = Store(Workspace.from_env().store)
    with store.in_use(), at_work(task.name, "encode"):
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
