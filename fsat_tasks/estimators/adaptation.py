"""Adaptation of a classifier to new texts: to their class shares, and to their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import softmax

from fsat_tasks.numerics.types import Array

__all__ = ["Adaptation"]


@dataclass(frozen=True)
class Adaptation:
    """An offset for each class, and probabilities of the texts that their neighbours refined."""

    bias: Array  # (classes,), added to the calibrated logits
    rows: Mapping[str, Array]
    """Text -> probabilities (classes,)."""

    def probabilities(self, logits: Array, texts: Sequence[str]) -> Array:
        """Return probabilities (n, classes) from the calibrated logits (n, classes) of the texts."""
        probabilities: Array = softmax(logits + self.bias, axis=1)
        for at, text in enumerate(texts):
            if text in self.rows:
                probabilities[at] = self.rows[text]
        return probabilities
