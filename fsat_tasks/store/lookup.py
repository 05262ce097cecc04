"""A read-only store, used to find out whether a run would have work to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fsat_tasks.store.artefact import Artefact, Recipe
from fsat_tasks.store.manifest import parse_manifest
from fsat_tasks.store.store import Store

__all__ = ["LookupStore", "NotMadeError"]


class NotMadeError(Exception):
    """An artefact is not in the store, so its step has work to do. Callers of a LookupStore catch this."""


class LookupStore(Store):
    """Store that finds artefacts and makes none.

    It compares only the sizes of files and not their checksums. So a look-up takes little longer than reading a
    manifest.
    """

    def build(self, recipe: Recipe, write: Callable[[Path], Mapping[str, Any] | None]) -> Artefact:
        """Return the recipe's artefact. Raises NotMadeError if it is not in the store."""
        found = self.find(recipe.step, recipe.key)
        if found is None:
            raise NotMadeError(recipe.step)
        return found

    def find(self, step: str, key: str) -> Artefact | None:
        """Return the artefact if it is in the store and its files have the recorded sizes, else None."""
        folder = self.folder(step, key)
        try:
            manifest = parse_manifest(folder)
            if all((folder / name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items()):
                return Artefact(folder, manifest)
        except (OSError, ValueError):
            pass  # it is missing, or it is damaged and the next run will set it aside
        return None

    def scratch(self, recipe: Recipe) -> AbstractContextManager[Path]:  # type: ignore[override]  # enough for `with`
        """Raise NotMadeError, because a step that needs scratch space has work to do."""
        raise NotMadeError(recipe.step)
