"""A few of the texts that pass by, drawn evenly from all of them, so that memory stays bounded however many there are."""

from __future__ import annotations

import random

from fsat_tasks.inputs.modality import Input

__all__ = ["SomeTexts"]

MOST = 500
"""Maximum number of texts that are kept."""


class SomeTexts:
    """Sample of MOST of the texts that were added (Vitter 1985, algorithm R)."""

    def __init__(self) -> None:
        self.kept: list[Input] = []
        self._count, self._rng = 0, random.Random(0)  # noqa: S311

    def add(self, text: Input) -> None:
        self._count += 1
        if len(self.kept) < MOST:
            self.kept.append(text)
        elif (place := self._rng.randrange(self._count)) < MOST:
            self.kept[place] = text
