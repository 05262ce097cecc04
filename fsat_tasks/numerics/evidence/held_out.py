"""Evidence without a validation set: held-out log-losses of the samples, compared row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fsat_tasks.numerics.evidence.calibration import fit_temperature
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["Comparison", "HeldOut", "Prior", "best_of", "compare", "judge", "row_losses", "stratified_folds"]


STANDARD_ERRORS = 1.0
"""How many of them a gain must exceed before it counts."""
ACCURACY_ERRORS = 1.645
USUAL_SPREAD, USUAL_ROWS = 0.5, 8
"""The spread that gains and changes of rightness have from row to row, worth so many rows beside those at hand: of eight
rows whose gains are alike by chance the error would else be nearly nothing."""


@dataclass(frozen=True)
class HeldOut:
    """What a model says of samples that it has not seen, at the temperature that fits it best on them."""

    logits: Array  # (n, classes), calibrated: divided by the temperature
    temperature: float
    losses: Array  # (n,) nats
    right: NDArray[np.bool_]  # (n,)

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())


@dataclass(frozen=True)
class Prior:
    """What a rung's gain is likely to be before there is evidence, in nats: mean and standard deviation.

    Evidence from 64 samples has an error as large as most gains, and it leans to the careful side: a sample that is left out
    of a few takes with it a good part of its class. So it is weighed against what such rungs gave elsewhere.
    """

    mean: float
    spread: float


@dataclass(frozen=True)
class Comparison:
    """A challenger against an incumbent on the same held-out samples."""

    gain: float
    """How much lower the challenger's mean log-loss is, in nats."""
    error: float
    """Standard error of the gain, over the samples, paired."""
    accuracy: float
    """How much higher the challenger's accuracy is."""
    accuracy_error: float = 0.0
    """Its standard error."""
    prior: Prior | None = None

    @property
    def better(self) -> bool:
        """Without a prior: lower log-loss by more than chance, and an accuracy that is no lower.

        With one: the expected gain, given both, is above zero, and the accuracy not lower beyond chance (5 %, one-sided).
        """
        if self.prior is None:
            return self.gain > STANDARD_ERRORS * self.error and self.accuracy >= 0.0
        return self.expected > 0.0 and self.accuracy >= -ACCURACY_ERRORS * self.accuracy_error

    @property
    def expected(self) -> float:
        """The posterior mean of the gain under a normal prior; the gain itself without one."""
        if self.prior is None or self.error == 0.0:
            return self.gain
        weights = 1.0 / self.error**2, 1.0 / self.prior.spread**2
        return (weights[0] * self.gain + weights[1] * self.prior.mean) / sum(weights)

    def __str__(self) -> str:
        expected = "" if self.prior is None else f", expected {-self.expected:+.3f}"
        return f"log-loss {-self.gain:+.3f} (standard error {self.error:.3f}){expected}, accuracy {self.accuracy:+.3f}"


def judge(logits: Array, labels: Labels, natural: bool = True) -> HeldOut:
    """Fit the temperature of held-out logits (n, classes), and score them; `natural` as for `fit_temperature`."""
    temperature = fit_temperature(logits, labels, natural)
    calibrated = logits / temperature
    return HeldOut(calibrated, temperature, row_losses(calibrated, labels), logits.argmax(axis=1) == labels)


def compare(challenger: HeldOut, incumbent: HeldOut, prior: Prior | None = None) -> Comparison:
    """The same samples, row by row."""
    gains = incumbent.losses - challenger.losses  # (n,)
    rights = challenger.right.astype(np.float64) - incumbent.right  # (n,) in -1, 0, 1
    return Comparison(float(gains.mean()), _standard_error(gains), float(rights.mean()), _standard_error(rights), prior)


def _standard_error(values: Array) -> float:
    """Of the mean, with the posterior mean of the variance under a scaled inverse chi-squared prior (Gelman et al. 2013, 3.2)."""
    n = len(values)
    return float(np.sqrt((n * values.var() + USUAL_ROWS * USUAL_SPREAD**2) / (n + USUAL_ROWS) / n))


def best_of(tried: Sequence[HeldOut], fold: Labels) -> tuple[int, HeldOut]:
    """Which has the least log-loss, and its evidence with the choice taken out of it.

    The least of many is too good to be true on the rows that chose it. So each fold's rows are answered by the one that
    is best on the other folds (cross-validated selection, Varma and Simon 2006); its temperature is that of the best on all.
    """
    losses = np.stack([one.losses for one in tried])  # (tried, n)
    best = int(losses.mean(axis=1).argmin())
    chosen = np.full(len(fold), best)
    for k in np.unique(fold):
        if (fold != k).any():
            chosen[fold == k] = losses[:, fold != k].mean(axis=1).argmin()
    at = np.arange(len(fold))
    logits, right = np.stack([one.logits for one in tried])[chosen, at], np.stack([one.right for one in tried])[chosen, at]
    return best, HeldOut(logits, tried[best].temperature, losses[chosen, at], right)


def row_losses(logits: Array, labels: Labels) -> Array:
    """Negative log-likelihood of each row's label under softmax(logits), (n,) nats."""
    losses: Array = logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return losses


def stratified_folds(labels: Labels, folds: int) -> Labels:
    """The fold 0..folds-1 of each row, (n,): each class is spread over the folds as evenly as can be."""
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    return fold
