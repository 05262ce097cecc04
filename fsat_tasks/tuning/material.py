"""What the ladder tunes on: samples, class anchors and pool rows, with their features and token ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.geometry.pool_directions import DIRECTIONS, PoolDirections, find_directions
from fsat_tasks.numerics.heads.pool_taught import POOL_ROWS, draw_pool
from fsat_tasks.numerics.types import Features, Labels
from fsat_tasks.tuning.jobs import TokenRows

__all__ = ["Material", "Pool", "Rows"]

PLENTY = 10
"""A pool is large if it has this many times more rows than a task has samples and class anchors, and than there are
principal directions. Rows of a task then no longer rotate the directions, so tasks can share them."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Texts as token ids, with the pretrained encoder's features of them."""

    features: Features  # (n, layers, dim)
    tokens: TokenRows

    def __len__(self) -> int:
        return len(self.features)

    def at(self, rows: NDArray[np.int64]) -> Rows:
        """Some of the rows, by number."""
        return Rows(self.features[rows], [self.tokens[i] for i in rows.tolist()])

    @property
    def token_count(self) -> int:
        """Tokens of all rows together."""
        return sum(map(len, self.tokens))


class Pool:
    """Unlabelled rows, and their principal directions once a task has asked for them.

    Whoever owns the pool owns its directions: tasks that are given the same object share them, and they go with it.

    Args:
        rows: the rows; there may be none.
        most: rows that one task uses at most, drawn with its seed.
    """

    def __init__(self, rows: Rows, most: int = POOL_ROWS) -> None:
        self.rows, self.most = rows, most
        self._directions: dict[tuple[int, int], PoolDirections] = {}  # by layers and seed

    def __len__(self) -> int:
        return len(self.rows)

    def drawn(self, seed: int) -> Rows:
        """The rows that a task with this seed uses; the same object if these are all."""
        numbers = draw_pool(len(self.rows), seed, self.most)
        return self.rows if len(numbers) == len(self.rows) else self.rows.at(numbers)

    def directions(self, layers: int, seed: int, own: Features) -> PoolDirections:
        """Principal directions of the drawn rows, of which there must be some.

        A large pool has directions of its own, found once; the directions of a smaller one follow the task's rows too.

        Args:
            layers: the last so many layers are mixed.
            seed: seed of the draw.
            own: (n, all layers, dim), samples and class anchors of the task.
        """
        used, count = self.drawn(seed), min(DIRECTIONS, layers * own.shape[2])
        if len(used) >= PLENTY * max(len(own), count):
            if (layers, seed) not in self._directions:
                self._directions[layers, seed] = find_directions(used.features, layers)
            if self._directions[layers, seed].basis.shape[1] == count:  # a pool of few texts, often repeated, spans fewer
                return self._directions[layers, seed]
        return find_directions(used.features, layers, own)


@dataclass(frozen=True)
class Material:
    """All rows of a task that the ladder may learn from."""

    source: EncoderSource
    shots: Rows
    labels: Labels  # (n,) in 0..classes-1
    anchors: Rows  # the classes' names, in the order of the classes
    pool: Pool  # unlabelled rows, maybe none
