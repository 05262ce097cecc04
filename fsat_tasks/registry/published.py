"""Artefacts that were published: found in the store, and unaltered."""

from __future__ import annotations

from collections.abc import Mapping

from fsat_tasks.errors import RegistryError
from fsat_tasks.store import Artefact, Store

__all__ = ["find_published"]


def find_published(store: Store, task: str, reference: Mapping[str, str]) -> Artefact:
    """Find the artefact that `reference` names. Raises RegistryError if the artefact is missing or altered.

    Args:
        reference: step, key and digest, from an entry of the history or from a manifest.
    """
    found = store.find(reference["step"], reference["key"])
    if found is None or found.digest != reference["digest"]:
        what = "model" if reference["step"] == "export" else reference["step"]
        raise RegistryError(
            f"{what} {reference['key'][:16]} of task {task!r}",
            "the files that were published",
            "missing or altered ones",
            f"Make it again with: fsat run {task}.",
        )
    return found
