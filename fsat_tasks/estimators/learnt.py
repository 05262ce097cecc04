"""Content of a fitted estimator, without anything that can be opened again. A saved estimator is made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fsat_tasks.errors import DataError
from fsat_tasks.estimators.adaptation import Adaptation
from fsat_tasks.estimators.labels import Labelled, Order, read_labels
from fsat_tasks.numerics.evidence.held_out import HeldOut
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.calibrated import CalibratedHead
from fsat_tasks.numerics.heads.frozen import Candidate
from fsat_tasks.numerics.heads.grades import GradeSetting
from fsat_tasks.numerics.heads.memory import TaughtHead
from fsat_tasks.numerics.heads.numbers import NumberSetting
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.scope import ScopeModel
from fsat_tasks.numerics.heads.several_labels import SeveralLabels, SigmoidSetting
from fsat_tasks.numerics.types import Flags, LayerFeatures, Matrix, Vector
from fsat_tasks.tuning.trial import Fit, HeadKind, TraceEntry

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

__all__ = ["Learnt", "LearntLabels", "LearntNumbers", "SavedAdaptation"]


@dataclass(frozen=True)
class SavedAdaptation:
    """An `Adaptation`, with the refined probabilities as one array."""

    bias: Vector  # (classes,)
    texts: list[str]
    probabilities: Matrix  # (texts, classes)

    @classmethod
    def of(cls, adaptation: Adaptation) -> SavedAdaptation:
        rows = adaptation.rows
        return cls(adaptation.bias, list(rows), np.array([*rows.values()]).reshape(len(rows), len(adaptation.bias)))

    def adaptation(self) -> Adaptation:
        return Adaptation(self.bias, dict(zip(self.texts, self.probabilities, strict=True)))


@dataclass(frozen=True)
class LearntLabels:
    """Labels of a classifier's samples."""

    rows: list[Any]
    """Label of each sample, its labels, or its row of a 0/1 matrix."""
    are_matrix: bool
    words: list[str]
    """Meaning of each class in words."""
    adaptation: SavedAdaptation | None
    adaptation_reason: str | None

    @classmethod
    def of(
        cls, labelled: Labelled, words: list[str], adaptation: SavedAdaptation | None, adaptation_reason: str | None
    ) -> LearntLabels:
        """Return the labels in JSON values."""
        values, answers = labelled.values, labelled.answers
        if infinite := [value for value in values if value in (math.inf, -math.inf)]:
            raise DataError("labels", "finite numbers", repr(infinite[0]), "JSON has no other numbers.")
        if not isinstance(labelled.rows, list):
            rows = labelled.rows.tolist()
        elif isinstance(answers, SeveralLabels):
            rows = [[values[j] for j in row.nonzero()[0]] for row in answers.matrix]
        else:
            rows = [values[i] for i in answers.labels.tolist()]
        return cls(rows, not isinstance(labelled.rows, list), words, adaptation, adaptation_reason)

    def labelled(self, order: Order) -> Labelled:
        """Return the labels as heads learn them. Raises DataError if a label cannot be used."""
        return read_labels(np.array(self.rows) if self.are_matrix else self.rows, len(self.rows), order)


@dataclass(frozen=True)
class LearntNumbers:
    """Numbers of a regressor's samples."""

    values: Vector  # (n,)


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """All that `predict`, the scope score, `partial_fit` and `adapt` need besides the encoder and its weights."""

    revision: str
    """Revision of the pretrained encoder."""
    texts: list[str]
    """The samples."""
    outside: list[str]
    """Texts that are out of scope."""
    answers: LearntLabels | LearntNumbers
    truncated: Flags  # (n,)
    seconds: dict[str, float]
    scope: ScopeModel
    scope_threshold: float

    # fields of `Fit`
    head: LinearHead | TaughtHead
    kind: HeadKind
    layers: int
    setting: Candidate | SigmoidSetting | GradeSetting | NumberSetting
    share: float
    held_out: HeldOut
    shots: LayerFeatures  # (n, all layers, dim)
    anchors: LayerFeatures  # (classes, all layers, dim)
    pool: LayerFeatures  # (m, all layers, dim)
    unseen: Matrix | None  # (n, 2)
    trace: list[TraceEntry]

    @classmethod
    def of(cls, fit: Fit, head: CalibratedHead, **others: Any) -> Learnt:
        """Return what is in a fit and in its calibrated head, with the fields that are in neither."""
        parts = {name: getattr(fit, name) for name in FIT}
        return cls(scope=head.scope, scope_threshold=head.scope_threshold, **parts, **others)

    def fit(self, weights: Weights | None) -> Fit:
        """Return the model of the rung, with the weights of a fine-tuned encoder."""
        return Fit(weights=weights, **{name: getattr(self, name) for name in FIT})

    def calibrated(self) -> CalibratedHead:
        """Return the head with its temperature and scope model."""
        return CalibratedHead(self.head, self.layers, self.held_out.temperature, self.scope, self.scope_threshold)

    def require_consistent(self, answers: Answers) -> None:
        """Raise ValueError if arrays do not fit together: if their rows are not the samples, or their columns not the classes."""
        held_out, head = self.held_out, self.calibrated()
        rows = (self.texts, self.shots, held_out.logits, held_out.losses, held_out.right, self.truncated, self.scope.held_out)
        if {len(part) for part in rows} != {len(answers)}:
            raise ValueError("its arrays are not of as many rows as there are samples")
        outputs = answers.link.outputs(held_out.logits, held_out.temperature)
        if head.link is not answers.link or head.outputs(self.shots).shape != outputs.shape:
            raise ValueError("its head is not of its classes")
        head.scope_scores(self.shots)


FIT = ("head", "kind", "layers", "setting", "share", "held_out", "shots", "anchors", "pool", "unseen", "trace")
"""Fields of `Fit` that are kept. The baseline is not: only a gate of fsat's runs needs it."""
