"""Evidence without a validation set: models are compared row by row by their held-out log-losses on the samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from fsat_tasks.numerics.evidence.calibration import fit_temperature
from fsat_tasks.numerics.types import Array, Flags, Labels, Matrix, Vector

__all__ = ["Comparison", "HeldOut", "Prior", "best_of", "compare", "judge", "row_losses", "stratified_folds"]


STANDARD_ERRORS = 1.0
"""Number of standard errors that a gain must exceed, if there is no prior."""
ACCURACY_ERRORS = 1.645
"""A loss of accuracy is significant above this number of its standard errors: a one-sided test at 5 %."""
USUAL_SPREAD, USUAL_ROWS = 0.5, 8
"""Prior standard deviation of per-row gains, and the number of rows that this prior counts as. Without the prior,
eight rows that agree by chance would give a standard error near zero."""


@dataclass(frozen=True)
class HeldOut:
    """A model's predictions for samples that it has not seen, at the temperature that fits these samples best."""

    logits: Matrix  # (n, classes), calibrated: divided by the temperature
    temperature: float
    losses: Vector  # (n,) nats
    right: Flags  # (n,)
    aim: str = "the right label"
    """The right prediction for a row, in words."""

    @property
    def accuracy(self) -> float:
        """Share of the samples that are predicted right."""
        return float(self.right.mean())

    @property
    def log_loss(self) -> float:
        """Mean log-loss in nats."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class Prior:
    """Normal prior of a rung's gain in log-loss, in nats: mean and standard deviation.

    A rung is a method that the ladder tries. Evidence from 64 samples has a standard error as large as most gains.
    This evidence is also pessimistic, because leaving out one of few samples removes a good part of its class. So the evidence
    is combined with the gains that the same rung had on other tasks.
    """

    mean: float
    spread: float


@dataclass(frozen=True)
class Comparison:
    """Result of a challenger against an incumbent on the same held-out samples."""

    gain: float
    """Difference by which the challenger's mean log-loss is lower, in nats."""
    error: float
    """Standard error of the gain, from the paired differences of the samples."""
    accuracy: float
    """Difference by which the challenger's accuracy is higher."""
    accuracy_error: float = 0.0
    """Standard error of the difference in accuracy."""
    prior: Prior | None = None
    aim: str = "the right label"
    """The right prediction for a row, in words."""

    @property
    def better(self) -> bool:
        """Return True if the challenger wins.

        Without a prior, its gain must exceed one standard error, and its accuracy must not be lower. With a
        prior, the expected gain must be above zero, and the accuracy must not be significantly lower (5 %,
        one-sided).
        """
        if self.prior is None:
            return self.gain > STANDARD_ERRORS * self.error and self.accuracy >= 0.0
        return self.expected > 0.0 and self.accuracy >= -ACCURACY_ERRORS * self.accuracy_error

    @property
    def expected(self) -> float:
        """Posterior mean of the gain under the normal prior; without a prior, the gain itself."""
        if self.prior is None or self.error == 0.0:
            return self.gain
        weights = 1.0 / self.error**2, 1.0 / self.prior.spread**2
        return (weights[0] * self.gain + weights[1] * self.prior.mean) / sum(weights)

    def __str__(self) -> str:
        """A sentence for people: the verdict, and what changes for the samples. The figures are in `statistics`."""
        factor = float(np.exp(self.gain))  # by which the right label's probability changes, in the geometric mean
        if factor >= 2.0:
            probability = f"{factor:,.1f} times as much probability"
        elif abs(factor - 1.0) < 0.005:
            probability = "as much probability as before"
        else:
            probability = f"{100.0 * abs(factor - 1.0):.0f} % {'more' if factor > 1.0 else 'less'} probability"
        points = f"{100.0 * abs(self.accuracy):.1f} points"
        accuracy = f"{'rises' if self.accuracy > 0.0 else 'falls'} by {points}" if points != "0.0 points" else "stays the same"
        link = "but" if self.gain * self.accuracy < 0.0 else "and"
        trusted = self.better and self.gain <= 0.0
        doubt = " Chance may explain that, and such a rung usually gains on new rows." if trusted else ""
        return f"{self._verdict()}: on left-out samples {self.aim} gets {probability}, {link} accuracy {accuracy}.{doubt}"

    def _verdict(self) -> str:
        if self.better:
            if self.prior is None:
                return "Better by more than the margin of error"
            return "Probably better" if self.gain > 0.0 else "Taken on trust"
        if self.accuracy < (0.0 if self.prior is None else -ACCURACY_ERRORS * self.accuracy_error):
            return "Less accurate"
        return "No better" if self.expected <= 0.0 else "Not better by more than the margin of error"

    @property
    def statistics(self) -> str:
        """The figures in one line."""
        expected = "" if self.prior is None else f", expected {-self.expected:+.3f}"
        return f"log-loss {-self.gain:+.3f} (standard error {self.error:.3f}){expected}, accuracy {self.accuracy:+.3f}"


def judge(logits: Array, labels: Labels, natural: bool = True) -> HeldOut:
    """Fit the temperature of held-out logits and score them.

    Args:
        logits: (n, classes), for samples that the model has not seen.
        labels: (n,).
        natural: as for `fit_temperature`.
    """
    temperature = fit_temperature(logits, labels, natural)
    calibrated = logits / temperature
    return HeldOut(calibrated, temperature, row_losses(calibrated, labels), logits.argmax(axis=1) == labels)


def compare(challenger: HeldOut, incumbent: HeldOut, prior: Prior | None = None) -> Comparison:
    """Compare two models row by row on the same samples."""
    gains = incumbent.losses - challenger.losses  # (n,)
    rights = challenger.right.astype(np.float64) - incumbent.right  # (n,) in -1, 0, 1
    errors = _standard_error(gains), _standard_error(rights)
    return Comparison(float(gains.mean()), errors[0], float(rights.mean()), errors[1], prior, challenger.aim)


def _standard_error(values: Array) -> float:
    """Standard error of the mean of per-row differences.

    The variance is the posterior mean under a scaled inverse chi-squared prior (Gelman et al. 2013, section
    3.2).
    """
    n = len(values)
    return float(np.sqrt((n * values.var() + USUAL_ROWS * USUAL_SPREAD**2) / (n + USUAL_ROWS) / n))


def best_of(tried: Sequence[HeldOut], fold: Labels) -> tuple[int, HeldOut]:
    """Select the model with the lowest log-loss, and return evidence that has no selection bias.

    The lowest of many log-losses is too optimistic on the rows by which it was selected. So the evidence for each
    fold's rows comes from the model that is best on all the other folds (cross-validated selection, Varma and
    Simon 2006).

    Args:
        tried: predictions of each model for the same n samples.
        fold: (n,), fold of each sample.

    Returns:
        The index of the selected model, and the evidence. Its temperature is that of the selected model.
    """
    losses = np.stack([one.losses for one in tried])  # (tried, n)
    best = int(losses.mean(axis=1).argmin())
    chosen = np.full(len(fold), best)
    for k in np.unique(fold):
        if (fold != k).any():
            chosen[fold == k] = losses[:, fold != k].mean(axis=1).argmin()
    at = np.arange(len(fold))
    logits, right = np.stack([one.logits for one in tried])[chosen, at], np.stack([one.right for one in tried])[chosen, at]
    return best, replace(tried[best], logits=logits, losses=losses[chosen, at], right=right)


def row_losses(logits: Array, labels: Labels) -> Array:
    """Negative log-likelihood of each row's label under softmax(logits), (n,), in nats."""
    losses: Array = logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return losses


def stratified_folds(labels: Labels, folds: int) -> Labels:
    """Assign a fold in 0..folds-1 to each row, (n,), with each class spread over the folds as evenly as possible."""
    fold = np.empty(len(labels), np.int64)
    fold[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    return fold
