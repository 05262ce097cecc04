"""The state of a task's registry, as `fsat status` shows it."""

from __future__ import annotations

import logging
from typing import Any

from fsat_tasks.errors import FsatError, RegistryError
from fsat_tasks.models.settings import MODEL, read_settings
from fsat_tasks.quality.gates import all_gates
from fsat_tasks.registry.history import Entry, newest_run
from fsat_tasks.registry.next_steps import after_history
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runtime.failures import say_type
from fsat_tasks.store.lookup import LookupStore
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["task_status"]

log = logging.getLogger(__name__)


def task_status(workspace: Workspace, task: str) -> dict[str, Any]:
    """Return the state of a task's registry.

    Returns:
        - `task`: its name.
        - `champion`: the champion's entry with `paths`, or None.
        - `last`: the last entry of the history, or None.
        - `last_run`: the last entry that a run has added, or None. `held_by` is added to it: gate -> reason.
        - `says`, `hint` and `next` of `NextSteps`.
        - `problem`, only if the registry or the champion's files are damaged: the reason in words. The
          other values are then None or empty.
    """
    try:
        return _status(workspace, task)
    except FsatError as error:
        problem = str(error)
    except Exception as error:  # one task whose files say nonsense must not hide the others
        log.debug("status of %s", task, exc_info=True)
        problem = f"task {task!r}: its state cannot be read: {say_type(error)}. Restore its files in the store from a backup."
    nothing: dict[str, Any] = dict.fromkeys(("champion", "last", "last_run", "says", "hint"))
    return {"task": task, **nothing, "next": [], "problem": problem}


def _status(workspace: Workspace, task: str) -> dict[str, Any]:
    registry = Registry(workspace.store, task)
    champion, history = registry.champion(), registry.history()
    store, newest = LookupStore(workspace.store), newest_run(history)
    return {
        "task": task,
        "champion": champion and {**champion, "paths": _paths(store, champion)},
        "last": history[-1] if history else None,
        "last_run": newest and {**newest, "held_by": _held_by(store, newest)},
        **after_history(task, history, champion).to_json(),
    }


def _held_by(store: LookupStore, entry: Entry) -> dict[str, str]:
    """Return gate -> reason for the gates that held a model, as far as the decision is still in the store."""
    published = store.find_named(entry["decision"]) if entry["action"] == "hold" else None
    try:
        gates = all_gates(published) if published else []
    except (OSError, ValueError, LookupError, TypeError):  # written by a version of fsat that had other fields
        gates = []
    return {gate.gate: gate.reason for gate in gates if not gate.promote}


def _paths(store: LookupStore, entry: Entry) -> dict[str, str]:
    model, decision = (store.folder(entry[name]["step"], entry[name]["key"]) for name in ("model", "decision"))
    paths = {"model": model / _served(store, entry), "report": decision / "report.html", "manifest": model / "manifest.json"}
    return {name: str(path) for name, path in paths.items()}


def _served(store: LookupStore, entry: Entry) -> str:
    """Return the file name of the graph that is served; model.onnx if the model's files are no longer whole."""
    model = store.find_named(entry["model"])
    try:
        return MODEL if model is None else read_settings(model.path).served
    except RegistryError:
        return MODEL
