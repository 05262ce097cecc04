"""A store that is only looked into: what tells whether a run would have anything to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from fsat_tasks.store.artefact import MANIFEST, Artefact, Recipe
from fsat_tasks.store.store import Store

__all__ = ["LookupStore", "NotMadeError"]


class NotMadeError(Exception):
    """A step would have to work. It never leaves the pipeline."""


class LookupStore(Store):
    """Finds what is there and makes nothing.

    Files are compared by their sizes and not by their checksums, so that asking costs no more than reading some manifests.
    """

    def build(self, recipe: Recipe, write: Callable[[Path], Mapping[str, Any] | None]) -> Artefact:
        """The recipe's artefact. Raises NotMadeError where it is not there."""
        found = self.find(recipe.step, recipe.key)
        if found is None:
            raise NotMadeError(recipe.step)
        return found

    def find(self, step: str, key: str) -> Artefact | None:
        """The artefact if it is there and its files have their sizes."""
        folder = self.folder(step, key)
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
            if all((folder / name).stat().st_size == entry["bytes"] for name, entry in manifest["files"].items()):
                return Artefact(folder, manifest)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            pass  # damaged: a run sets it aside
        return None

    def scratch(self, recipe: Recipe) -> AbstractContextManager[Path]:  # type: ignore[override]  # of all that `with` asks for
        """Raises NotMadeError: who asks for scratch has work to do."""
        raise NotMadeError(recipe.step)
