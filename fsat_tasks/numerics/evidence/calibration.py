"""Temperature scaling, calibration error and logit adjustment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
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
"""Bounds of log(1 / T) in the search for a temperature T."""
PRIOR_SPREAD = 0.5
"""Standard deviation of log T in the prior, which is centred on T = 1. With a handful of rows, the prior keeps T near 1;
hundreds of rows outweigh it."""


def log_loss(logits: Array, labels: Labels) -> float:
    """Mean negative log-likelihood of the labels under softmax(logits), in nats.

    Args:
        logits: (n, classes).
        labels: (n,).
    """
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


def fit_temperature(logits: Array, labels: Labels, natural: bool = True) -> float:
    """Return the most probable temperature T > 0 for softmax(logits / T), given the labels and a prior around 1.

    The likelihood is the log-loss (Guo et al. 2017). Without the prior, 16 rows that are hard to tell apart
    can lead to an infinite temperature. Targets are smoothed by 1 / (n + 2), as Platt (1999, section 2.2)
    does for one class, because even after n right answers the next answer may be wrong.

    Args:
        logits: (n, classes), for rows that the model has not seen, such as leave-one-out logits.
        labels: (n,).
        natural: whether the logits are a fitted model's log-probabilities, as a probe's are. If not, the prior
            is left out: cosines, for example, have no natural scale.
    """
    smoothing = 1.0 / (len(labels) + 2)

    def loss(log_scale: float) -> float:
        scaled = logits * np.exp(log_scale)
        towards_any = np.mean(logsumexp(scaled, axis=1) - scaled.mean(axis=1))
        prior = 0.5 * (log_scale / PRIOR_SPREAD) ** 2 / len(labels) if natural else 0.0
        return (1.0 - smoothing) * log_loss(scaled, labels) + smoothing * float(towards_any) + prior

    return float(np.exp(-minimize_scalar(loss, bounds=LOG_SCALE_BOUNDS, method="bounded").x))


def balance_strength(logits: Array, labels: Labels, log_prior: Array) -> float:
    """Return the strength in 0..1 of the logit adjustment that gives all classes the same weight.

    The adjustment subtracts strength * log_prior from the logits (Menon et al. 2021, eq. 10). A model that
    has fully learnt the class shares needs 1; a model that assumes equal shares needs 0. The returned strength
    minimises the log-loss of held-out rows that are weighted so that all classes have the same total weight.

    Args:
        logits: (n, classes), calibrated, for rows that the model has not seen.
        labels: (n,).
        log_prior: (classes,), logarithm of the class shares that the model was fitted with.
    """
    weight = 1.0 / np.bincount(labels)[labels]  # (n,)

    def loss(strength: float) -> float:
        adjusted = logits - strength * log_prior
        return float(weight @ (logsumexp(adjusted, axis=1) - adjusted[np.arange(len(labels)), labels]))

    return float(minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded").x)


def reliability_bins(confidence: Array, right: NDArray[np.bool_], bins: int = 15) -> list[dict[str, float]]:
    """Return number of rows, mean confidence and accuracy of each bin. Empty bins are left out.

    All bins of the confidence have the same width.

    Args:
        confidence: (n,), probability with which each answer is right, according to the model.
        right: (n,), whether each answer is right.
    """
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return [
        {
            "rows": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(right[inside].mean()),
        }
        for inside in (at == b for b in range(bins))
        if inside.any()
    ]


def expected_calibration_error(confidence: Array, right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean absolute gap between confidence and accuracy over the bins, weighted by rows (Naeini et al. 2015).

    Args:
        confidence, right: as for `reliability_bins`.
    """
    return sum(
        entry["rows"] * abs(entry["confidence"] - entry["accuracy"]) for entry in reliability_bins(confidence, right, bins)
    ) / len(right)


def expected_calibration_error_by_chance(confidence: Array, seed: int, bins: int = 15, draws: int = 200) -> float:
    """Mean calibration error that a perfectly calibrated model with these confidences would show on this number of rows.

    In each draw, a row is right with exactly the probability that the model states ("consistency resampling",
    Bröcker and Smith 2007). With 40 rows the result is above 0.1. So a calibration error means nothing until
    this result is subtracted from it.

    Args:
        confidence: (n,), probability with which each answer is right, according to the model.
        seed: seed of the draws.
    """
    at = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    right = np.random.default_rng(seed).random((draws, len(confidence))) < confidence  # (draws, n)
    inside = np.eye(bins)[at]  # (n, bins)
    gaps = np.abs((right - confidence) @ inside)  # (draws, bins), in rows
    return float(gaps.sum(axis=1).mean() / len(confidence))
