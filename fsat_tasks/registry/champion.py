"""Find the champion's files and check their checksums and signature."""

from __future__ import annotations

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.registry import Registry, find_published
from fsat_tasks.registry.signature import check_signature
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["champion_model"]


def champion_model(task: str) -> Artefact:
    """Return the artefact of the task's champion. Its checksums are verified.

    Raises:
        RegistryError: no model is published yet, its files are missing or altered, or FSAT_SIGNING_KEY is set and that
            key did not sign the champion.
    """
    store = Store(Workspace.from_env().store)
    champion = Registry(store.root, task).champion()
    if champion is None:
        raise RegistryError(f"task {task!r}", "a published model", "none yet", f"Make one with: fsat run {task}.")
    check_signature(champion, task, f"champion of task {task!r}", f"fsat run {task} signs what it makes.")
    return find_published(store, task, champion["model"])
