"""The artefact store. Keys come from content, writes are atomic, and each read verifies checksums."""

from fsat_tasks.store import versions
from fsat_tasks.store.artefact import Artefact, Recipe
from fsat_tasks.store.store import Store

__all__ = ["Artefact", "Recipe", "Store", "versions"]
