"""Head with temperature and scope model: from features to calibrated probabilities and scope scores."""

from __future__ import annotations

from dataclasses import dataclass

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.memory import Memory, TaughtHead
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.scope import ScopeModel, coverage_threshold, fit_scope, scope_scores
from fsat_tasks.numerics.types import Array, Features

__all__ = ["CalibratedHead", "Samples", "fit_calibrated"]


@dataclass(frozen=True)
class CalibratedHead:
    """Head that states link.outputs(head.logits(rows) / temperature), such as probabilities, and its scope model.

    Rows are the result of `mix_layers` for the encoder's features.
    """

    head: LinearHead | TaughtHead
    layers: int
    """Number of the encoder's last layers that the head uses."""
    temperature: float
    scope: ScopeModel
    scope_threshold: float
    """Minimum score of a row that counts as in scope; -inf if every row counts as in scope."""

    @property
    def link(self) -> Link:
        """From calibrated logits to what the model states."""
        return self.scope.link

    @property
    def linear(self) -> LinearHead:
        """Linear part of the head."""
        return self.head.linear if isinstance(self.head, TaughtHead) else self.head

    @property
    def memory(self) -> Memory | None:
        """Memory of pool rows, or None if the head has none."""
        return self.head.memory if isinstance(self.head, TaughtHead) else None

    def logits(self, features: Features) -> Array:
        """Return logits, (n, classes), before the division by the temperature, for features (n, all layers, dim)."""
        return self.head.logits(mix_layers(features, self.layers))

    def outputs(self, features: Features) -> Array:
        """Return what the model states, such as probabilities (n, classes), for features (n, all layers, dim)."""
        return self.link.outputs(self.logits(features) / self.temperature, self.temperature)

    def scope_scores(self, features: Features) -> Array:
        """Return scores, (n,), for features (n, all layers, dim). The higher a score, the more the row is in scope."""
        return scope_scores(self.scope, mix_layers(features, self.layers), self.logits(features))


@dataclass(frozen=True)
class Samples:
    """Labelled samples that the scope model is fitted on."""

    features: Features  # (n, all layers, dim), from the head's encoder
    answers: Answers
    anchors: Features  # (classes, all layers, dim), features of the class names
    held_out: Array  # (n, classes), logits from heads that have not seen the sample, not divided by the temperature
    unseen: Array | None = None
    """Two inputs of the scope score for each sample, (n, 2), from an encoder that was not fine-tuned on the sample (see
    `scope.unseen_views`); None if the encoder is pretrained."""


def fit_calibrated(
    head: LinearHead | TaughtHead,
    layers: int,
    temperature: float,
    samples: Samples,
    coverage: float,
    outside: Features | None = None,
) -> CalibratedHead:
    """Fit the scope model of a head that is already fitted and calibrated.

    Args:
        head: the fitted head.
        layers: number of the encoder's last layers that the head uses.
        temperature: temperature of the head's logits, > 0.
        samples: labelled samples.
        coverage: share of the task's rows that should count as in scope, in 0..1.
        outside: (m, all layers, dim), features of out-of-scope rows, if there are any.
    """
    shots, anchors = mix_layers(samples.features, layers), mix_layers(samples.anchors, layers)
    far = None if outside is None else mix_layers(outside, layers)
    scope = fit_scope(shots, samples.answers, anchors, temperature, samples.held_out, far, samples.unseen)
    return CalibratedHead(head, layers, temperature, scope, coverage_threshold(scope.held_out, coverage))
