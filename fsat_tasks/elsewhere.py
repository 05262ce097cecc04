"""Artefacts that another kind of machine has made: a step on a machine without a GPU goes on from what one with a GPU did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fsat_tasks.store import Artefact, Recipe, Store

__all__ = ["find_any"]


def find_any(store: Store, recipe: Recipe, numeric_classes: Sequence[str]) -> Artefact | None:
    """The first that is there of the artefacts that differ in their numeric class alone.

    Args:
        numeric_classes: in an order that is the same on every machine, or two machines would go on from different ones.
    """
    recipes = (replace(recipe, numeric_class=numeric_class) for numeric_class in numeric_classes)
    return next((found for one in recipes if (found := store.find(one.step, one.key)) is not None), None)
