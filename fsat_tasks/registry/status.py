"""What is published, for `fsat status` and for machines."""

from __future__ import annotations

from typing import Any

from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Store
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["task_status"]


def task_status(workspace: Workspace, task: str) -> dict[str, Any]:
    """A task's champion with its figures and paths, and the last decision; None where there is none yet."""
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
