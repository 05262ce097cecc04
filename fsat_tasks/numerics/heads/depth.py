"""The choice of the number of an encoder's last layers, by paired losses of left-out rows, and the rows that are compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fsat_tasks.numerics.heads.frozen import SCREEN_ROWS
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["choose_depth", "screen"]

DEPTHS = (2, 3, 4)
"""Numbers of last layers to try besides one and all."""


def screen(rows: int) -> Labels:
    """Draw the rows on which settings are compared, SCREEN_ROWS at most, and return their indices, ascending."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:SCREEN_ROWS])


def choose_depth(layers: int, rows: int, losses_of: Callable[[int], Array]) -> int:
    """Return the number of last layers with the lowest mean loss.

    More layers than the last one are chosen only if they lower the loss by more than one standard error of the paired
    differences. If only some rows are compared, the standard error is made as small as it would be with all rows.

    Args:
        layers: number of the encoder's layers, embeddings included.
        rows: number of all rows, of which some are compared.
        losses_of: function from a number of last layers to the losses of the left-out rows, (compared,).
    """
    blocks = max(layers - 1, 1)
    first = losses_of(1)
    best, lowest = 1, float(first.mean())
    for depth in sorted({min(depth, blocks) for depth in (*DEPTHS, blocks)} - {1}):
        losses = losses_of(depth)
        gain = first - losses  # (compared,)
        if losses.mean() < lowest and gain.mean() > gain.std() / np.sqrt(rows):
            best, lowest = depth, float(losses.mean())
    return best
