"""Artefacts that were published: found in the store, and unaltered."""

from __future__ import annotations

from fsat_tasks.errors import RegistryError
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.reference import Reference

__all__ = ["find_published"]


def find_published(store: Store, task: str, reference: Reference) -> Artefact:
    """Find the artefact that `reference` names. Raises RegistryError if the artefact is missing or altered.

    Args:
        reference: a reference from an entry of the history or from a manifest.
    """
    found = store.find_named(reference)
    if found is None:
        what = "model" if reference["step"] == "export" else reference["step"]
        raise RegistryError(
            f"{what} {reference['key'][:16]} of task {task!r}",
            "the files that were published",
            "missing or altered ones",
            f"fsat run {task} makes it again if the data and task.yaml are still those it was made from. If they are not, restore"
            f" the store from a backup, or choose another model: fsat history {task}.",
        )
    return found
