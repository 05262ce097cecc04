"""Links: functions from a head's calibrated logits to what the model states, such as probabilities."""

from __future__ import annotations

from enum import Enum

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from fsat_tasks.numerics.types import Array

__all__ = ["Link"]


class Link(Enum):
    """Kinds of links. The ONNX nodes of each kind are in `models/link_nodes.py`."""

    SOFTMAX = "softmax"
    """One label: probabilities of the classes, which sum to 1."""
    SIGMOID = "sigmoid"
    """Several labels: a probability for each class, whatever the others are."""
    CUMULATIVE = "cumulative"
    """A grade: logit j is that of a grade above grade j. There is one logit less than there are grades."""
    IDENTITY = "identity"
    """A number: the logit times the temperature."""

    def outputs(self, logits: Array, temperature: float = 1.0) -> Array:
        """Return what the model states, (n, outputs), such as probabilities.

        Args:
            logits: (n, columns), divided by the temperature.
            temperature: unit of a number; without effect on probabilities.
        """
        if self is Link.SOFTMAX:
            return np.asarray(softmax(logits, axis=1))
        if self is Link.SIGMOID:
            return np.asarray(expit(logits))
        if self is Link.CUMULATIVE:
            ones = np.ones((len(logits), 1))
            above = np.hstack([ones, expit(logits), 0.0 * ones])  # (n, grades + 1), chance of a grade above each
            return np.asarray(np.maximum(above[:, :-1] - above[:, 1:], 0.0))
        return logits * temperature

    def certainty(self, logits: Array) -> Array:
        """Return the negative entropy of the answer, (n,), in nats; 0 for a number, which has no probability.

        Args:
            logits: (n, columns), divided by the temperature.
        """
        if self is Link.SOFTMAX:
            log_p = log_softmax(logits, axis=1)
            certainty: Array = np.sum(np.exp(log_p) * log_p, axis=1)
            return certainty
        if self is Link.SIGMOID:
            p = expit(logits)
            return np.asarray(np.sum(p * log_expit(logits) + (1.0 - p) * log_expit(-logits), axis=1))
        if self is Link.CUMULATIVE:
            p = self.outputs(logits)
            return np.asarray(np.sum(p * np.log(np.maximum(p, np.finfo(np.float64).tiny)), axis=1))
        return np.zeros(len(logits))
