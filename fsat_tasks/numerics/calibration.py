"""Temperature scaling and the calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

__all__ = ["expected_calibration_error", "fit_temperature", "log_loss", "reliability_bins"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

LOG_SCALE_BOUNDS = (-7.0, 7.0)


def log_loss(logits: Array, labels: Labels) -> float:
    """Mean negative log-likelihood in nats of softmax(logits), (n, classes)."""
    return float(np.mean(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]))


def fit_temperature(logits: Array, labels: Labels) -> float:
    """The temperature T > 0 for which softmax(logits / T) has the least log-loss (Guo et al. 2017).

    Args:
        logits: (n, classes) of rows that the model has not seen, such as leave-one-out logits.
    """
    # convex in 1 / T, so one minimum; searched on the log scale
    found = minimize_scalar(
        lambda log_scale: log_loss(logits * np.exp(log_scale), labels), bounds=LOG_SCALE_BOUNDS, method="bounded"
    )
    return float(np.exp(-found.x))


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
