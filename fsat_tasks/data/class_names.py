"""Names of the classes in words. Their features become the class anchors of the ladder (`steps/tune.py`, `_material`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["name_classes"]


def name_classes(labels: Iterable[Any], given: Mapping[Any, str]) -> dict[Any, str]:
    """Return label -> name, in the order of the labels. A name is the given one, or the label with spaces for _ and -."""
    return {label: given.get(label) or str(label).replace("_", " ").replace("-", " ") for label in labels}
