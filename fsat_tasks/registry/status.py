"""The state of a task's registry, as `fsat status` shows it."""

from __future__ import annotations

from typing import Any

from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Store
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["task_status"]


def task_status(workspace: Workspace, task: str) -> dict[str, Any]:
    """Return a task's champion with its figures and paths, and the last entry of the task's history. Either may be None."""
    registry = Registry(workspace.store, task)
    champion, history = registry.champion(), registry.history()
    return {
        "task": task,
        "champion": champion and {**champion, "paths": _paths(workspace, champion)},
        "last": history[-1] if history else None,
    }


def _paths(workspace: Workspace, entry: dict[str, Any]) -> dict[str, str]:
    store = Store(workspace.store)
    model, decision = (store.folder(entry[name]["step"], entry[name]["key"]) for name in ("model", "decision"))
    return {
        "model": str(model / "model.onnx"),
        "report": str(decision / "report.html"),
        "manifest": str(model / "manifest.json"),
    }
