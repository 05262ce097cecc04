"""Temperature scaling and the calibration error."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from fsat_tasks.numerics.types import Array, Labels

__all__ = [
    "balance_strength",
    "expected_calibration_error",
    "expected_calibration_error_by_chance",
    "fit_temperature",
    "log_loss",
    "reliability_bins",
]


LOG_SCALE_BOUNDS = (-10.0, 10.0)
PRIOR_SPREAD = 0.5
"""Of the log-normal prior of a temperature around 1: it holds back what a handful of rows say, and hundreds outweigh it."""


def log_loss(logits: Array, labels: Labels) -> float:
    """Mean negative log-likelihood in nats of softmax(logits), (n, classes)."""
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


def fit_temperature(logits: Array, labels: Labels, natural: bool = True) -> float:
    """The most probable temperature T > 0 of softmax(logits / T), by its log-loss (Guo et al. 2017) and a prior around 1.

    Without the prior, 16 rows that are hard to tell apart can ask for an infinite temperature. The targets are smoothed
    by 1 / (n + 2) as Platt (1999, section 2.2) does it for one class: n right answers do not make the next one certain.

    Args:
        logits: (n, classes) of rows that the model has not seen, such as leave-one-out logits.
        natural: whether they are a fitted model's log-probabilities, as a probe's are; a cosine has no natural scale, and
            then there is no prior.
    """
    smoothing = 1.0 / (len(labels) + 2)

    def loss(log_scale: float) -> float:
        scaled = logits * np.exp(log_scale)
        towards_any = np.mean(logsumexp(scaled, axis=1) - scaled.mean(axis=1))
        prior = 0.5 * (log_scale / PRIOR_SPREAD) ** 2 / len(labels) if natural else 0.0
        return (1.0 - smoothing) * log_loss(scaled, labels) + smoothing * float(towards_any) + prior

    return float(np.exp(-minimize_scalar(loss, bounds=LOG_SCALE_BOUNDS, method="bounded").x))


def balance_strength(logits: Array, labels: Labels, log_prior: Array) -> float:
    """How much of the log class shares to take off the logits, so that every class counts alike, 0 to 1.

    Logit adjustment (Menon et al. 2021, eq. 10): a model that learnt the classes' shares wholly wants 1, one that took all
    classes for equally likely wants 0; told by the log-loss of held-out rows in which each class weighs the same.

    Args:
        logits: (n, classes), calibrated, of rows that the model has not seen.
        log_prior: (classes,), the logarithm of the shares that it was fitted with.
    """
    weight = 1.0 / np.bincount(labels)[labels]  # (n,)

    def loss(strength: float) -> float:
        adjusted = logits - strength * log_prior
        return float(weight @ (logsumexp(adjusted, axis=1) - adjusted[np.arange(len(labels)), labels]))

    return float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded").x)


def reliability_bins(probabilities: Array, labels: Labels, bins: int = 15) -> list[dict[str, float]]:
    """Rows, mean confidence and accuracy of each equal-width bin of the top probability; empty bins are left out."""
    confidence = probabilities.max(axis=1)  # (n,)
    correct = probabilities.argmax(axis=1) == labels
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return [
        {
            "rows": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(correct[inside].mean()),
        }
        for inside in (at == b for b in range(bins))
        if inside.any()
    ]


def expected_calibration_error(probabilities: Array, labels: Labels, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by rows (Naeini et al. 2015)."""
    return sum(
        entry["rows"] * abs(entry["confidence"] - entry["accuracy"]) for entry in reliability_bins(probabilities, labels, bins)
    ) / len(labels)


def expected_calibration_error_by_chance(probabilities: Array, seed: int, bins: int = 15, draws: int = 200) -> float:
    """The calibration error that a perfectly calibrated model with these probabilities shows on so many rows.

    Each row's answer is right with just the probability that it states, drawn again and again ("consistency resampling",
    Bröcker and Smith 2007). With 40 rows it is above 0.1, so an error means nothing before this is taken off.
    """
    confidence = probabilities.max(axis=1)  # (n,)
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    right = np.random.default_rng(seed).random((draws, len(confidence))) < confidence  # (draws, n)
    inside = np.eye(bins)[at]  # (n, bins)
    gaps = np.abs((right - confidence) @ inside)  # (draws, bins), in rows
    return float(gaps.sum(axis=1).mean() / len(confidence))
