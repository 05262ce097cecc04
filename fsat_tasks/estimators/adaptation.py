"""Adaptation of a classifier to new texts: a correction for their class shares, and probabilities refined by similar texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import softmax

from fsat_tasks.numerics.types import Array

__all__ = ["Adaptation"]


@dataclass(frozen=True)
class Adaptation:
    """Offset for each class, and refined probabilities of the texts whose neighbours were used."""

    bias: Array  # (classes,), added to the calibrated logits
    rows: Mapping[str, Array]
    """Text -> refined probabilities (classes,)."""

    def probabilities(self, logits: Array, texts: Sequence[str]) -> Array:
        """Return probabilities (n, classes) of the texts, from their calibrated logits (n, classes)."""
        probabilities: Array = softmax(logits + self.bias, axis=1)
        for at, text in enumerate(texts):
            if text in self.rows:
                probabilities[at] = self.rows[text]
        return probabilities
