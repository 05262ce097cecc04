"""Cache of objects that a process keeps from one task to the next. The code that runs the tasks creates the cache."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept:
    """Cache of the last value of each kind, such as a shared pool's features or an encoder in torch."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """Return the stored value of a kind if it was made for this key. Otherwise make a new value and store it instead."""
        if kind not in self._values or self._values[kind][0] != key:
            self._values.pop(kind, None)  # frees the memory before the next value is made
            self._values[kind] = key, make()
        made: T = self._values[kind][1]
        return made
