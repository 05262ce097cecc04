"""Answers that are one label each: one of several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fsat_tasks.numerics.evidence.held_out import HeldOut, judge, stratified_folds
from fsat_tasks.numerics.geometry.neighbours import spread
from fsat_tasks.numerics.heads.answers import Setting, Teachable
from fsat_tasks.numerics.heads.frozen import Candidate, FrozenHead, fit_frozen_head, fit_setting, refit_frozen_head
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.probe import LinearHead, fit_softmax
from fsat_tasks.numerics.types import Array, Features, Labels

if TYPE_CHECKING:
    from fsat_tasks.numerics.heads.pool_taught import Teaching

__all__ = ["OneLabel"]

PULL = 0.8
"""Pull of the teacher's label spreading; see `spread`."""


@dataclass(frozen=True, eq=False)
class OneLabel(Teachable):
    """One label for each row. The columns of the logits are the classes."""

    labels: Labels  # (n,) in 0..classes-1
    classes: int

    link: ClassVar[Link] = Link.SOFTMAX
    pool_weight: ClassVar[float] = 4.0
    student_ridge: ClassVar[float] = 0.03
    memory_shares: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 1.0)

    @property
    def groups(self) -> int:
        """Number of classes."""
        return self.classes

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: NDArray[Any]) -> OneLabel:
        return OneLabel(self.labels[rows], self.classes)

    def members(self) -> tuple[Labels, Labels]:
        return np.arange(len(self.labels)), self.labels

    def folds(self, count: int) -> Labels:
        return stratified_folds(self.labels, count)

    def search(self, features: Features, anchors: Features) -> FrozenHead:
        return fit_frozen_head(features, self.labels, anchors)

    def refit(self, features: Features, anchors: Features, setting: Setting) -> FrozenHead:
        return refit_frozen_head(features, self.labels, anchors, _own(setting))

    def fit(self, rows: Array, anchors: Array, setting: Setting) -> LinearHead:
        return fit_setting(rows, self.labels, anchors, _own(setting))

    def judge(self, logits: Array) -> HeldOut:
        return judge(logits, self.labels)

    def targets(self) -> Array:
        return np.eye(self.classes)[self.labels]

    def anchor_weight(self, setting: Setting) -> float:
        return _own(setting).prior

    def teach(self, teaching: Teaching, seen: NDArray[np.bool_], logits: Array) -> Array:
        """Smooth the rows over their neighbours in the pool, and spread labels from neighbour to neighbour."""
        shown, used = self.at(seen), len(teaching.pool)
        smoothed = shown.fit(teaching.smooth_shots[seen], teaching.smooth_names, teaching.setting)
        views = logits, smoothed.logits(teaching.smooth_pool)
        start = np.mean([softmax(view, axis=1) for view in views], axis=0)  # (used, classes)
        kept = np.concatenate([seen, np.ones(used, bool)])
        return spread(teaching.graph[kept][:, kept], np.vstack([shown.targets(), start]), PULL)[len(shown) :]

    def fit_soft(
        self, rows: Array, targets: Array, weights: Array, ridge: float, start: LinearHead, tolerance: float
    ) -> LinearHead:
        return fit_softmax(rows, targets, weights, ridge, start, tolerance)


def _own(setting: Setting) -> Candidate:
    assert isinstance(setting, Candidate), "a setting of another kind of answer"
    return setting
