"""A head with its temperature and its scope: from features to calibrated probabilities and scope scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.memory import Memory, TaughtHead
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.scope import ScopeModel, coverage_threshold, fit_scope, scope_scores
from fsat_tasks.numerics.types import Array, Features, Labels

__all__ = ["CalibratedHead", "Samples", "fit_calibrated"]


@dataclass(frozen=True)
class CalibratedHead:
    """Probabilities are softmax(head.logits(rows) / temperature).

    Rows are the last layers' unit rows, side by side; see `mix_layers`.
    """

    head: LinearHead | TaughtHead
    layers: int
    """Number of the encoder's last layers that are read, side by side."""
    temperature: float
    scope: ScopeModel
    scope_threshold: float
    """The score that a row of the task reaches with the probability `coverage`; -inf if all pass."""

    @property
    def linear(self) -> LinearHead:
        """The linear part."""
        return self.head.linear if isinstance(self.head, TaughtHead) else self.head

    @property
    def memory(self) -> Memory | None:
        """The memory of pool rows; None if the pool did not help."""
        return self.head.memory if isinstance(self.head, TaughtHead) else None

    def logits(self, features: Features) -> Array:
        """(n, all layers, dim) to (n, classes), not yet divided by the temperature."""
        return self.head.logits(mix_layers(features, self.layers))

    def probabilities(self, features: Features) -> Array:
        """(n, all layers, dim) to (n, classes)."""
        probabilities: Array = softmax(self.logits(features) / self.temperature, axis=1)
        return probabilities

    def scope_scores(self, features: Features) -> Array:
        """(n, all layers, dim) to (n,); higher is more in scope."""
        return scope_scores(self.scope, mix_layers(features, self.layers), self.logits(features))

    def in_scope(self, features: Features) -> NDArray[np.bool_]:
        """(n, all layers, dim) to (n,): whether each row belongs to the task."""
        return self.scope_scores(features) >= self.scope_threshold


@dataclass(frozen=True)
class Samples:
    """The labelled samples that the scope is fitted on."""

    features: Features  # (n, all layers, dim), by the head's encoder
    labels: Labels  # (n,)
    anchors: Features  # (classes, all layers, dim), of the class names
    held_out: Array  # (n, classes), logits by heads that have not seen the sample, not divided by the temperature
    unseen: Array | None = None
    """(n, 2) `unseen_views` by encoders that have not seen the sample; None if the encoder is as it was pretrained."""


def fit_calibrated(
    head: LinearHead | TaughtHead,
    layers: int,
    temperature: float,
    samples: Samples,
    coverage: float,
    outside: Features | None = None,
) -> CalibratedHead:
    """Fit the scope of a head that is fitted and calibrated.

    Args:
        coverage: share of the task's own rows that should pass as in scope.
        outside: (m, all layers, dim) features of out-of-scope rows, if there are any.
    """
    shots, anchors = mix_layers(samples.features, layers), mix_layers(samples.anchors, layers)
    far = None if outside is None else mix_layers(outside, layers)
    scope = fit_scope(shots, samples.labels, anchors, temperature, samples.held_out, far, samples.unseen)
    return CalibratedHead(head, layers, temperature, scope, coverage_threshold(scope.held_out, coverage))
