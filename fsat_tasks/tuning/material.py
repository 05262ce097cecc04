"""What the ladder tunes on: samples, class names and pool rows, with their features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.types import Features, Labels

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import TokenRows

__all__ = ["Material", "Rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Texts as token ids, with the pretrained encoder's features of them; hashed by identity, so that it can key a cache."""

    features: Features  # (n, layers, dim)
    tokens: TokenRows

    def __len__(self) -> int:
        return len(self.features)

    def at(self, rows: NDArray[np.int64]) -> Rows:
        """Some of them."""
        return Rows(self.features[rows], [self.tokens[i] for i in rows.tolist()])


@dataclass(frozen=True)
class Material:
    """What there is to tune on."""

    source: EncoderSource
    shots: Rows
    labels: Labels  # (n,) in 0..classes-1
    names: Rows  # the classes' names, in the classes' order
    pool: Rows  # unlabelled, may be empty
