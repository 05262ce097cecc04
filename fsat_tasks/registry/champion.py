"""The champion's files: found by the registry's entry, checked by checksum and signature."""

from __future__ import annotations

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.registry import Registry, find_published
from fsat_tasks.registry.signature import check_signature
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["champion_model"]


def champion_model(task: str) -> Artefact:
    """The model folder that the task's champion points to; where FSAT_SIGNING_KEY is set, only if that key signed it."""
    store = Store(Workspace.from_env().store)
    champion = Registry(store.root, task).champion()
    if champion is None:
        raise RegistryError(f"task {task!r}", "a published model", "none yet", f"Make one with: fsat run {task}.")
    check_signature(champion, task, f"champion of task {task!r}", f"fsat run {task} signs what it makes.")
    return find_published(store, task, champion["model"])
