"""The artefact store: content keys, atomic writes, checksums verified on every read."""

from fsat_tasks.store import versions
from fsat_tasks.store.artefact import Artefact, Recipe
from fsat_tasks.store.store import Store

__all__ = ["Artefact", "Recipe", "Store", "versions"]
