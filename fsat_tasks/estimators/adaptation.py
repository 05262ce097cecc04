"""What a classifier has adapted to: the class shares of new texts, and their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import softmax

from fsat_tasks.numerics.types import Array

__all__ = ["Adaptation"]


@dataclass(frozen=True)
class Adaptation:
    """An offset of each class, and the texts whose neighbours were asked."""

    bias: Array  # (classes,), added to the calibrated logits
    rows: Mapping[str, Array]
    """Text -> probabilities (classes,)."""

    def probabilities(self, logits: Array, texts: Sequence[str]) -> Array:
        """(n, classes) from the calibrated logits of the texts, (n, classes)."""
        probabilities: Array = softmax(logits + self.bias, axis=1)
        for at, text in enumerate(texts):
            if text in self.rows:
                probabilities[at] = self.rows[text]
        return probabilities
