"""What a process keeps open from one task to the next. Whoever runs the tasks owns it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

__all__ = ["Kept"]

T = TypeVar("T")


class Kept:
    """The last value of each kind, such as a shared pool's features or an encoder in torch."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """The value of this kind if it was made for the same key; else a new one, which takes its place."""
        known, value = self._values.get(kind, (None, None))
        if kind not in self._values or known != key:
            self._values.pop(kind, None)  # the memory is free before the next one is made
            value = make()
            self._values[kind] = key, value
        made: T = value
        return made
