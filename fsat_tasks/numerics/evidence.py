"""Evidence without a validation set: held-out log-losses of the samples, compared row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fsat_tasks.numerics.calibration import fit_temperature

__all__ = ["Comparison", "HeldOut", "compare", "judge", "row_losses", "stratified_folds"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

STANDARD_ERRORS = 1.0
"""How many of them a gain must exceed before it counts."""


@dataclass(frozen=True)
class HeldOut:
    """What a model says of samples that it has not seen, at the temperature that fits it best on them."""

    logits: Array  # (n, classes), calibrated: divided by the temperature
    temperature: float
    losses: Array  # (n,) nats
    accuracy: float

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())


@dataclass(frozen=True)
class Comparison:
    """A challenger against an incumbent on the same held-out samples."""

    gain: float
    """How much lower the challenger's mean log-loss is, in nats."""
    error: float
    """Standard error of the gain, over the samples, paired."""
    accuracy: float
    """How much higher the challenger's accuracy is."""

    @property
    def better(self) -> bool:
        """Lower log-loss by more than chance, and an accuracy that is no lower."""
        return self.gain > STANDARD_ERRORS * self.error and self.accuracy >= 0.0

    def __str__(self) -> str:
        return f"log-loss {-self.gain:+.3f} (standard error {self.error:.3f}), accuracy {self.accuracy:+.3f}"


def judge(logits: Array, labels: Labels) -> HeldOut:
    """Fit the temperature of held-out logits (n, classes), and score them."""
    temperature = fit_temperature(logits, labels)
    calibrated = logits / temperature
    right = float((logits.argmax(axis=1) == labels).mean())
    return HeldOut(calibrated, temperature, row_losses(calibrated, labels), right)


def compare(challenger: HeldOut, incumbent: HeldOut) -> Comparison:
    gains = incumbent.losses - challenger.losses  # (n,)
    error = float(gains.std() / np.sqrt(len(gains)))
    return Comparison(float(gains.mean()), error, challenger.accuracy - incumbent.accuracy)


def row_losses(logits: Array, labels: Labels) -> Array:
    """Negative log-likelihood of each row's label under softmax(logits), (n,) nats."""
    losses: Array = logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return losses


def stratified_folds(labels: Labels, folds: int) -> Labels:
    """The fold 0..folds-1 of each row, (n,): each class is spread over the folds as evenly as can be."""
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    return fold
