"""Grades: ordered classes, such as one to five stars, by cumulative logits on frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from fsat_tasks.numerics.evidence.calibration import LOG_SCALE_BOUNDS, PRIOR_SPREAD
from fsat_tasks.numerics.evidence.held_out import HeldOut, stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Answers, Probe, Setting
from fsat_tasks.numerics.heads.cumulative import fit_cumulative, grade_losses
from fsat_tasks.numerics.heads.depth import choose_depth, screen
from fsat_tasks.numerics.heads.frozen import principal_directions
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Features, Labels

__all__ = ["GradeSetting", "Grades", "decide_grades", "expected_grades", "fit_grade_temperature"]

PRIORS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Numbers of rows that a grade's name may count as. Zero is tried because names such as 1 and 2 say little."""
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Penalties of the direction to try."""
START_PRIOR, START_RIDGE = 1.0, 0.03
"""Values that the search starts from."""

AIM = "the right grade"
"""The right prediction for a row, in words."""


@dataclass(frozen=True)
class GradeSetting(Setting):
    """Setting of the cumulative logits, and its leave-one-out evidence."""

    prior: float
    """Number of rows that a grade's name counts as."""
    ridge: float
    """Penalty of the direction."""
    temperature: float
    log_loss: float
    """Leave-one-out log-loss at the temperature, in nats."""


@dataclass(frozen=True)
class Grades(Answers):
    """Rows that are labelled with a grade each. Logit j is the log-odds of a grade above grade j."""

    labels: Labels  # (n,) in 0..grades-1
    grades: int
    """Number of grades, at least 2."""
    link: ClassVar[Link] = Link.CUMULATIVE

    @property
    def groups(self) -> int:
        """Number of grades."""
        return self.grades

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: NDArray[Any]) -> Grades:
        """Return the grades of the rows with these indices or in this mask."""
        return Grades(self.labels[rows], self.grades)

    def members(self) -> tuple[Labels, Labels]:
        """Return row and grade of each row."""
        return np.arange(len(self)), self.labels

    def folds(self, count: int) -> Labels:
        """Assign a fold to each row, (n,), with each grade spread over the folds."""
        return stratified_folds(self.labels, count)

    def shares(self) -> NDArray[np.float32]:
        """Return soft targets, (n, grades), that fall off with the distance from the true grade.

        The target of a grade is softmax(-distance^2) over the grades (SORD, Diaz and Marathe 2019, eq. 1).
        """
        distances = (self.labels[:, None] - np.arange(self.grades)).astype(np.float64)
        return np.asarray(softmax(-np.square(distances), axis=1), np.float32)

    def search(self, features: Features, anchors: Features) -> Probe:
        """Choose the layers, then the ridge, then the prior, by leave-one-out log-loss, and fit the head.

        More layers than the last one are used only if they lower the log-loss by more than one standard error of the paired
        differences. Settings are compared on SCREEN_ROWS rows at most. Arguments are those of `Answers.search`.
        """
        rows = screen(len(self))
        return self.refit(features, anchors, self.at(rows)._choose(features[rows], anchors, len(self)))

    def _choose(self, features: Features, anchors: Features, total: int) -> GradeSetting:
        """Return the setting with the lowest log-loss on these rows, which are drawn from a total number of rows."""

        def losses_of(depth: int) -> Array:
            probe = _search(self, features, anchors, depth).try_setting(START_PRIOR, START_RIDGE)
            return self.judge(probe.held_out).losses

        search = _search(self, features, anchors, choose_depth(features.shape[1], total, losses_of))
        best = min((_chosen(search.try_setting(START_PRIOR, ridge)) for ridge in RIDGES), key=_log_loss)
        if len(search.names):
            best = min((_chosen(search.try_setting(prior, best.ridge)) for prior in PRIORS), key=_log_loss)
        return best

    def refit(self, features: Features, anchors: Features, setting: Setting) -> Probe:
        """Fit the head with a setting that was chosen before. The temperature is fitted again."""
        assert isinstance(setting, GradeSetting)
        return _search(self, features, anchors, setting.layers).try_setting(setting.prior, setting.ridge)

    def fit(self, rows: Array, anchors: Array, setting: Setting) -> LinearHead:
        """Fit the head with a setting that was chosen before, and divide it by that setting's temperature."""
        assert isinstance(setting, GradeSetting)
        head = _Search(self, rows, anchors, setting.layers).fit(setting.prior, setting.ridge)[0]
        return LinearHead(head.weight / setting.temperature, head.bias / setting.temperature)

    def judge(self, logits: Array) -> HeldOut:
        """Fit the temperature of held-out logits and score them. A row is right if the decided grade is exact.

        Args:
            logits: (n, grades - 1), for rows that the model has not seen.
        """
        temperature = fit_grade_temperature(logits, self.labels)
        calibrated = logits / temperature
        decided = decide_grades(Link.CUMULATIVE.outputs(calibrated))
        return HeldOut(calibrated, temperature, grade_losses(calibrated, self.labels), decided == self.labels, AIM)


def decide_grades(probabilities: Array) -> Labels:
    """Return the median grade of each row, (n,). It is the grade with the lowest expected distance from the true one.

    Args:
        probabilities: (n, grades), each row a distribution.
    """
    below = np.cumsum(probabilities[:, :-1], axis=1)  # (n, grades - 1), chance of a grade at or below each
    return np.asarray((below < 0.5).sum(axis=1), np.int64)


def expected_grades(probabilities: Array) -> Array:
    """Return the mean grade of each row, (n,) in 0..grades-1. It is the number with the lowest expected squared distance.

    Args:
        probabilities: (n, grades), each row a distribution.
    """
    expected: Array = probabilities @ np.arange(probabilities.shape[1], dtype=np.float64)
    return expected


def fit_grade_temperature(logits: Array, labels: Labels) -> float:
    """Return the most probable temperature T > 0 of cumulative logits, given the grades and a prior around 1.

    Prior and smoothing are those of `calibration.fit_temperature`.

    Args:
        logits: (n, grades - 1), falling in each row, for rows that the model has not seen.
        labels: (n,).
    """
    rows, grades = len(labels), logits.shape[1] + 1
    smoothing = 1.0 / (rows + 2)

    def loss(log_scale: float) -> float:
        scaled = logits * np.exp(log_scale)
        towards_any = np.mean([grade_losses(scaled, np.full(rows, grade)).mean() for grade in range(grades)])
        prior = 0.5 * (log_scale / PRIOR_SPREAD) ** 2 / rows
        return (1.0 - smoothing) * float(grade_losses(scaled, labels).mean()) + smoothing * float(towards_any) + prior

    return float(np.exp(-minimize_scalar(loss, bounds=LOG_SCALE_BOUNDS, method="bounded").x))


def _chosen(probe: Probe) -> GradeSetting:
    assert isinstance(probe.chosen, GradeSetting)
    return probe.chosen


def _log_loss(setting: GradeSetting) -> float:
    return setting.log_loss


def _search(answers: Grades, features: Features, anchors: Features, layers: int) -> _Search:
    """Mix the last layers of rows and class names, and prepare fits on them."""
    return _Search(answers, mix_layers(features, layers), mix_layers(anchors, layers), layers)


class _Search:
    """Fits with one number of layers, in the principal directions of rows and names. A rotation does not change the penalty."""

    def __init__(self, answers: Grades, rows: Array, anchors: Array, layers: int) -> None:
        self.answers, self.layers = answers, layers
        self.named = np.flatnonzero(anchors.any(axis=1))  # grades that have a name
        together = np.vstack([rows, anchors[self.named]])
        self.basis = principal_directions(together)  # (directions, dim)
        self.rows, self.names = np.split(together @ self.basis.T, [len(rows)])

    def try_setting(self, prior: float, ridge: float) -> Probe:
        """Fit the head and compute its evidence."""
        head, held_out = self.fit(prior, ridge)
        judged = self.answers.judge(held_out)
        return Probe(head, GradeSetting(self.layers, prior, ridge, judged.temperature, judged.log_loss), held_out)

    def fit(self, prior: float, ridge: float) -> tuple[LinearHead, Array]:
        """Return the head in the space of the mixed features, and the leave-one-out logits of the rows, (n, grades - 1)."""
        labels, n = np.concatenate([self.answers.labels, self.named]), len(self.rows)
        weights = np.concatenate([np.ones(n), np.full(len(self.names), prior)])
        fitted = fit_cumulative(np.vstack([self.rows, self.names]), labels, weights, self.answers.grades, ridge)
        direction = fitted.direction @ self.basis  # (dim,)
        return LinearHead(np.tile(direction, (len(fitted.cuts), 1)), -fitted.cuts), fitted.loo_logits[:n]
