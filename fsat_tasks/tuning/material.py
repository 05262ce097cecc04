"""Rows that the ladder tunes on: samples, class anchors and pool rows, with their features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.geometry.pool_directions import DIRECTIONS, PoolDirections, find_directions
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import POOL_ROWS, draw_pool
from fsat_tasks.numerics.types import Features, Labels

__all__ = ["Material", "Pool", "Rows"]

PLENTY = 10
"""A pool is large if its number of rows is at least this many times the task's samples and class anchors together, and at
least this many times the principal directions. The task's rows then hardly rotate the directions, so tasks can share them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with their features by the pretrained encoder."""

    features: Features  # (n, layers, dim)
    prepared: Sequence[Prepared]
    """The rows as the encoder reads them; empty for class anchors of zeros, which no row stands for."""

    def __len__(self) -> int:
        return len(self.features)

    def at(self, rows: NDArray[np.int64]) -> Rows:
        """Return the rows with these indices."""
        return Rows(self.features[rows], [self.prepared[i] for i in rows.tolist()])

    @property
    def size(self) -> int:
        """Size of all rows together."""
        return sum(row.size for row in self.prepared)


class Pool:
    """Unlabelled rows. Their principal directions are computed when a task first asks for them.

    The directions are kept in this object, so tasks that are given the same object share them.

    Args:
        rows: the rows; there may be none.
        most: maximum number of rows that one task uses, drawn with its seed.
    """

    def __init__(self, rows: Rows, most: int = POOL_ROWS) -> None:
        self.rows, self.most = rows, most
        self._directions: dict[tuple[int, int], PoolDirections] = {}  # by layers and seed

    def __len__(self) -> int:
        return len(self.rows)

    def drawn(self, seed: int) -> Rows:
        """Return the rows that a task with this seed uses. If it uses all rows, this is `rows` itself."""
        numbers = draw_pool(len(self.rows), seed, self.most)
        return self.rows if len(numbers) == len(self.rows) else self.rows.at(numbers)

    def directions(self, layers: int, seed: int, own: Features) -> PoolDirections:
        """Return the principal directions of the drawn rows. There must be at least one row.

        The directions of a large pool depend only on the pool and are computed once. The directions of a smaller pool also
        depend on the task's rows.

        Args:
            layers: number of last layers that are mixed.
            seed: seed of the draw.
            own: features (n, all layers, dim) of the samples and class anchors of the task that asks.
        """
        used, count = self.drawn(seed), min(DIRECTIONS, layers * own.shape[2])
        if len(used) >= PLENTY * max(len(own), count):
            if (layers, seed) not in self._directions:
                self._directions[layers, seed] = find_directions(used.features, layers)
            # if the pool repeats a few rows many times, it spans fewer directions than `count`
            if self._directions[layers, seed].basis.shape[1] == count:
                return self._directions[layers, seed]
        return find_directions(used.features, layers, own)


@dataclass(frozen=True)
class Material:
    """All rows of a task that the ladder may learn from."""

    source: EncoderSource
    shots: Rows
    answers: Answers  # of the shots
    anchors: Rows  # the class anchors, in the order of the classes; features of zeros, if there are none
    pool: Pool  # unlabelled rows; there may be none

    @property
    def labels(self) -> Labels:
        """Class number of each shot, (n,), for shots with one label each."""
        assert isinstance(self.answers, OneLabel), "rungs that need one label are not tried on other answers"
        return self.answers.labels
