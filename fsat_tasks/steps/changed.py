"""Which tasks have anything to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fsat_tasks.errors import InputError
from fsat_tasks.registry.history import number_of
from fsat_tasks.registry.registry import Registry
from fsat_tasks.steps.order import STEPS, _results
from fsat_tasks.store.lookup import LookupStore, NotMadeError
from fsat_tasks.tasks.spec import Task, load_task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["changed_tasks", "is_done"]


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
