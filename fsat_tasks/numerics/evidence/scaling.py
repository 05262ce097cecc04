"""Scale and shift of binary logits: calibration of scores that have no natural scale, such as those of least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from fsat_tasks.numerics.evidence.calibration import LOG_SCALE_BOUNDS
from fsat_tasks.numerics.types import Array

__all__ = ["Scaling", "binary_losses", "fit_binary_temperature", "fit_scaling"]

LEAST_SCALE = 1e-3
"""Minimum scale, relative to the inverse standard deviation of the scores. So a higher score is never a lower probability."""


@dataclass(frozen=True)
class Scaling:
    """Map from scores to calibrated logits, the same for all classes: scale * score + shift."""

    scale: float
    shift: float

    def __call__(self, scores: Array) -> Array:
        """Return calibrated logits of the shape of the scores."""
        return self.scale * scores + self.shift


def fit_scaling(scores: Array, targets: Array) -> Scaling:
    """Return the scaling that minimises the binary log-loss over all rows and classes (Platt 1999, with his smoothed targets).

    Args:
        scores: (n, classes), for rows that the model has not seen, such as leave-one-out outputs.
        targets: (n, classes), of 0 and 1.
    """
    smooth = _smoothed(targets)
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    unit = (scores - centre) / spread

    def objective(found: Array) -> tuple[float, Array]:
        logits = found[0] * unit + found[1]
        residual = (expit(logits) - smooth) / targets.size
        return float(binary_losses(logits, smooth).mean()), np.array([(residual * unit).sum(), residual.sum()])

    start = np.array([1.0, np.log(smooth.mean() / (1.0 - smooth.mean()))])
    options = {"ftol": 1e-12, "gtol": 1e-8}
    scale, shift = minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(LEAST_SCALE, None), (None, None)], options=options
    ).x
    return Scaling(float(scale / spread), float(shift - scale * centre / spread))


def fit_binary_temperature(logits: Array, targets: Array) -> float:
    """Return the temperature T > 0, one for all classes, that minimises the binary log-loss of sigmoid(logits / T).

    Args:
        logits: (n, classes), for rows that the model has not seen, such as leave-one-out logits.
        targets: (n, classes), of 0 and 1. They are smoothed as in `fit_scaling`.
    """
    smooth = _smoothed(targets)

    def loss(log_scale: float) -> float:
        return float(binary_losses(logits * np.exp(log_scale), smooth).mean())

    # the loss is convex in 1 / T, so there is one minimum; the search runs on the log scale
    return float(np.exp(-minimize_scalar(loss, bounds=LOG_SCALE_BOUNDS, method="bounded").x))


def binary_losses(logits: Array, targets: Array) -> Array:
    """Return the negative log-likelihood of each target under sigmoid(logits), in nats, of the shape of the logits."""
    losses: Array = np.logaddexp(0.0, logits) - targets * logits
    return losses


def _smoothed(targets: Array) -> Array:
    """Return the targets of Platt (1999, section 2.2), over all rows and classes together."""
    positive = float(targets.sum())
    return np.where(targets > 0, (positive + 1.0) / (positive + 2.0), 1.0 / (targets.size - positive + 2.0))
