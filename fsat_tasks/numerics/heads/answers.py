"""Answers of labelled rows: what the rows are labelled with, how heads learn it, and how predictions are judged.

An answer is one label, several labels, a grade or a number. Each kind is one class. The ladder works with any of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.evidence.held_out import HeldOut
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Features, Labels

if TYPE_CHECKING:
    from fsat_tasks.numerics.heads.pool_taught import Teaching

__all__ = ["Answers", "Probe", "Setting", "Teachable"]


@dataclass(frozen=True)
class Setting:
    """Setting of a head on frozen features. Each kind of answer adds fields of its own."""

    layers: int
    """Number of the encoder's last layers."""


@dataclass(frozen=True)
class Probe:
    """The head that `Answers.search` has chosen. Its logits are mix_layers(features, layers) @ weight.T + bias."""

    head: LinearHead
    chosen: Setting
    held_out: Array  # (n, columns) leave-one-out logits at temperature 1


class Answers(ABC):
    """Answers of n rows. All logits have the shape (rows, columns); the meaning of a column depends on the kind of answer."""

    link: ClassVar[Link]
    """From a head's calibrated logits to what the model states."""

    @property
    @abstractmethod
    def groups(self) -> int:
        """Number of groups of rows that a fine-tuned encoder pulls apart, such as the classes."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def at(self, rows: NDArray[Any]) -> Self:
        """Return the answers of the rows with these indices or in this mask."""

    @abstractmethod
    def members(self) -> tuple[Labels, Labels]:
        """Return row and group of each membership, in the order of the rows: two arrays of equal length."""

    @abstractmethod
    def folds(self, count: int) -> Labels:
        """Assign a fold in 0..count-1 to each row, (n,), so that similar answers are spread over the folds."""

    @abstractmethod
    def search(self, features: Features, anchors: Features) -> Probe:
        """Choose a setting by leave-one-out evidence, and fit the head.

        Args:
            features: (n, layers, dim).
            anchors: (classes, layers, dim), features of the class names. A row of zeros stands for a class without a name.
        """

    @abstractmethod
    def refit(self, features: Features, anchors: Features, setting: Setting) -> Probe:
        """Fit the head with a setting that was chosen before, perhaps on different rows. The arguments are those of `search`."""

    @abstractmethod
    def fit(self, rows: Array, anchors: Array, setting: Setting) -> LinearHead:
        """Fit the head with a setting that was chosen before, and calibrate it with that setting's temperature.

        Numbers stay in their own units.

        Args:
            rows: (n, dim), the result of mix_layers(features, setting.layers) or a rotation of it.
            anchors: (classes, dim), mixed and rotated like the rows.
            setting: the setting.
        """

    @abstractmethod
    def judge(self, logits: Array) -> HeldOut:
        """Fit the temperature of held-out logits, (n, columns), and score them."""

    def shares(self) -> NDArray[np.float32]:
        """Return the share of each group in each row's answer, (n, groups), on which an encoder is fine-tuned. Rows sum to 1."""
        shares = np.zeros((len(self), self.groups), np.float32)
        shares[self.members()] = 1.0
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def group_sums(self, rows: Array, anchors: Array) -> Array:
        """Return the anchor of each group, if there is one, plus the sum of the group's rows, (groups, dim)."""
        named = np.zeros((self.groups, rows.shape[1]))
        named[: len(anchors)] = anchors
        member = np.zeros((self.groups, len(self)))
        at, group = self.members()
        member[group, at] = 1.0
        sums: Array = named + member @ rows
        return sums


class Teachable(Answers):
    """Answers that an unlabelled pool can teach: a teacher gives pool rows soft labels, and a student learns from them."""

    pool_weight: ClassVar[float]
    """Total weight of the pool in the student's fit, relative to that of the shots. A pool row never weighs more than a shot."""
    student_ridge: ClassVar[float]
    """Penalty of the student's weights."""
    memory_shares: ClassVar[tuple[float, ...]]
    """Weights of a memory of pool rows to try, relative to the linear head; 0 stands for no memory."""

    @abstractmethod
    def targets(self) -> Array:
        """Return the class memberships, (n, classes), of 0 and 1."""

    @abstractmethod
    def anchor_weight(self, setting: Setting) -> float:
        """Return the number of rows that a class name counts as."""

    @abstractmethod
    def teach(self, teaching: Teaching, seen: NDArray[np.bool_], logits: Array) -> Array:
        """Return soft labels of the pool, (m, classes). Only the answers of the seen shots are looked at.

        Args:
            teaching: shots, class names and pool in the principal directions. Its answers are these answers.
            seen: (n,), whether a shot is seen.
            logits: (m, classes), calibrated logits of the probe for the pool.
        """

    @abstractmethod
    def fit_soft(
        self, rows: Array, targets: Array, weights: Array, ridge: float, start: LinearHead, tolerance: float
    ) -> LinearHead:
        """Fit a head to soft labels.

        Args:
            rows: (m, dim).
            targets: (m, classes), soft labels.
            weights: (m,), none negative.
            ridge: penalty of the weights, > 0.
            start: head from which the search starts.
            tolerance: Newton decrement at which the search may stop.
        """
