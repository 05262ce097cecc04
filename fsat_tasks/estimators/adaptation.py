"""Adaptation of a classifier to new texts: a correction for their class shares, and probabilities refined by similar texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import softmax

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.shift.transduction import adapt_to_target, hidden_shot_logits
from fsat_tasks.numerics.types import Array, Features
from fsat_tasks.tuning.trial import Fit

__all__ = ["Adaptation", "find_adaptation"]


@dataclass(frozen=True)
class Adaptation:
    """Offset for each class, and refined probabilities of the texts whose neighbours were used."""

    bias: Array  # (classes,), added to the calibrated logits
    rows: Mapping[str, Array]
    """Text -> refined probabilities (classes,)."""

    @property
    def has_effect(self) -> bool:
        """True if any probability changes."""
        return bool(self.bias.any() or self.rows)

    def probabilities(self, logits: Array, texts: Sequence[str]) -> Array:
        """Return probabilities (n, classes) of the texts, from their calibrated logits (n, classes)."""
        probabilities: Array = softmax(logits + self.bias, axis=1)
        for at, text in enumerate(texts):
            if text in self.rows:
                probabilities[at] = self.rows[text]
        return probabilities


def find_adaptation(
    texts: Sequence[str], logits: Array, pretrained: tuple[Features, Features, Features], answers: OneLabel, fit: Fit
) -> tuple[Adaptation, str]:
    """Return the adaptation to new texts, and the reason why its parts were accepted or not.

    Args:
        texts: n texts.
        logits: (n, classes), calibrated.
        pretrained: features (rows, all layers, dim) of texts, samples and class anchors from the pretrained encoder.
        answers: labels of the samples.
        fit: the classifier's model.
    """
    plain, shots, names = (mix_layers(part, fit.layers) for part in pretrained)
    hidden, folds = hidden_shot_logits(plain, shots, answers, names, fit.setting)
    found = adapt_to_target(plain, logits, shots, answers.labels, hidden, folds)
    refined = dict(zip(texts, found.probabilities, strict=True)) if found.refined else {}
    return Adaptation(found.bias, refined), found.reason
