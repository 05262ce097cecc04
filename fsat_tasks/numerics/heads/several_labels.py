"""Answers with several labels: a probability for each class, whatever the others are.

The head on frozen features is the sum of two heads that make different errors, each with half of the weight: a logistic
regression of each class against the rest, and least squares. Both count each class name as `prior` rows, which are
positive for the name's class and negative for all the other classes. Each head is calibrated by a scale and a shift, because
with few positive rows both state too low probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.evidence.held_out import HeldOut
from fsat_tasks.numerics.evidence.scaling import Scaling, binary_losses, fit_binary_temperature, fit_scaling
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Probe, Setting, Teachable
from fsat_tasks.numerics.heads.frozen import principal_directions
from fsat_tasks.numerics.heads.label_folds import spread_labels
from fsat_tasks.numerics.heads.label_parts import infer_labels
from fsat_tasks.numerics.heads.least_squares import fit_least_squares
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.logistic import fit_logistic, loo_logistic
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Features, Labels

if TYPE_CHECKING:
    from fsat_tasks.numerics.heads.pool_taught import Teaching

__all__ = ["SeveralLabels", "SigmoidSetting"]

PRIORS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Numbers of rows that a class name may count as."""
SQUARES_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Penalties of the least squares to try."""
RIDGES = (0.01, 0.03, 0.1, 0.3)
"""Penalties of the logistic regressions to try. None is below 0.01; see `RIDGES` in `frozen.py`."""
START_PRIOR, START_SQUARES_RIDGE = 4.0, 0.3
"""Values that the search starts from."""
SCREEN_CLASSES = 40
"""Maximum number of classes on which the penalty of the logistic regressions is chosen. The classes do not depend on
each other."""
FIT_TOLERANCE = 1e-3
"""Newton decrement at which the fit of the logistic regressions stops. It is about as large as the error of the logits."""

AIM = "the right set of labels"
"""The right prediction for a row, in words."""


@dataclass(frozen=True)
class SigmoidSetting(Setting):
    """Setting of the head, its calibration, and its leave-one-out evidence."""

    prior: float
    """Number of rows that a class name counts as."""
    ridge: float
    """Penalty of the logistic regressions' weights."""
    squares_ridge: float
    """Penalty of the least squares' weights."""
    logistic: Scaling
    squares: Scaling
    both: Scaling
    """Calibration of the mean of both calibrated heads. Its scale is 1 / temperature."""
    temperature: float
    """Number by which the probe's logits are divided."""
    log_loss: float
    """Leave-one-out log-loss in nats: the mean over rows of the sum over classes."""


@dataclass(frozen=True)
class SeveralLabels(Teachable):
    """Rows with any number of labels each."""

    matrix: NDArray[np.int64]  # (n, classes), of 0 and 1

    link: ClassVar[Link] = Link.SIGMOID
    pool_weight: ClassVar[float] = 16.0
    student_ridge: ClassVar[float] = 0.01
    memory_shares: ClassVar[tuple[float, ...]] = (0.0,)

    @property
    def groups(self) -> int:
        """Number of classes."""
        return int(self.matrix.shape[1])

    def __len__(self) -> int:
        return len(self.matrix)

    def at(self, rows: NDArray[Any]) -> Self:
        return type(self)(self.matrix[rows])

    def members(self) -> tuple[Labels, Labels]:
        rows, groups = np.nonzero(self.matrix)
        return rows, groups

    def targets(self) -> Array:
        """Return 1 for each label of a row and 0 elsewhere, (n, classes)."""
        return self.matrix.astype(np.float64)

    def folds(self, count: int) -> Labels:
        return spread_labels(self.matrix, count)

    def search(self, features: Features, anchors: Features) -> Probe:
        """Choose layers, prior and penalties by leave-one-out evidence, and fit the head; see `Answers.search`.

        Least squares choose layers and prior for both heads, because their leave-one-out is exact and fast. More layers
        than the last one are used only if they lower the log-loss by more than one standard error of the paired differences.
        """
        blocks = max(features.shape[1] - 1, 1)
        depths = sorted({min(depth, blocks) for depth in (1, 2, 3, 4, blocks)})
        fits = [_mixed_fits(self, features, anchors, depth) for depth in depths]
        losses = [one.losses_of_squares(START_PRIOR, START_SQUARES_RIDGE) for one in fits]  # (n,) each
        gains = [losses[0] - each for each in losses]
        sure = [gain.mean() > gain.std() / np.sqrt(len(gain)) for gain in gains]
        best = min((at for at in range(len(fits)) if at == 0 or sure[at]), key=lambda at: losses[at].mean())
        chosen = fits[best]
        prior = min(PRIORS, key=lambda prior: chosen.losses_of_squares(prior, START_SQUARES_RIDGE).mean())
        squares_ridge = min(SQUARES_RIDGES, key=lambda ridge: chosen.losses_of_squares(prior, ridge).mean())
        return chosen.probe(prior, chosen.choose_ridge(prior), squares_ridge)

    def refit(self, features: Features, anchors: Features, setting: Setting) -> Probe:
        setting = _of(setting)
        return _mixed_fits(self, features, anchors, setting.layers).probe(setting.prior, setting.ridge, setting.squares_ridge)

    def fit(self, rows: Array, anchors: Array, setting: Setting) -> LinearHead:
        setting = _of(setting)
        fits = _Fits(self, rows, anchors, setting.layers)
        squares, _ = fits.squares(setting.prior, setting.squares_ridge)
        logistic = fits.logistic(setting.prior, setting.ridge)
        head = _mean(_scaled(logistic, setting.logistic), _scaled(squares, setting.squares))
        return fits.in_feature_space(_scaled(head, setting.both))

    def judge(self, logits: Array) -> HeldOut:
        """Fit one temperature for all classes, and score the logits.

        The log-loss of a row is the sum over the classes. A row is right if exactly its labels have a probability of at
        least 0.5.
        """
        temperature = fit_binary_temperature(logits, self.targets())
        calibrated = logits / temperature
        losses = binary_losses(calibrated, self.targets()).sum(axis=1)
        return HeldOut(calibrated, temperature, losses, ((logits >= 0.0) == (self.matrix > 0)).all(axis=1), AIM)

    def anchor_weight(self, setting: Setting) -> float:
        return _of(setting).prior

    def teach(self, teaching: Teaching, seen: NDArray[np.bool_], logits: Array) -> Array:
        """Return soft labels of the pool; see `infer_labels`."""
        shown, shots, setting = self.at(seen), teaching.shots[seen], _of(teaching.setting)
        # least squares stand for the whole head on left-out shots, because their leave-one-out costs next to nothing
        fits = _Fits(shown, shots, teaching.names, setting.layers)
        held_out = setting.squares(fits.squares(setting.prior, setting.squares_ridge)[1])
        return infer_labels(shots, shown.targets(), teaching.names, teaching.pool, held_out, logits)

    def fit_soft(
        self, rows: Array, targets: Array, weights: Array, ridge: float, start: LinearHead, tolerance: float
    ) -> LinearHead:
        """Fit logistic regressions to soft targets; see `fit_logistic`.

        Args:
            rows: (m, dim).
            targets: (m, classes), each in 0..1.
            weights: (m,).
            ridge: penalty of the weights.
            start: head to start from.
            tolerance: Newton decrement at which the solver stops.
        """
        return fit_logistic(rows, targets, weights, ridge, start, tolerance)


def _of(setting: Setting) -> SigmoidSetting:
    if not isinstance(setting, SigmoidSetting):
        raise TypeError(f"expected a SigmoidSetting, got {type(setting).__name__}")
    return setting


def _scaled(head: LinearHead, scaling: Scaling) -> LinearHead:
    return LinearHead(scaling.scale * head.weight, scaling(head.bias))


def _mean(one: LinearHead, other: LinearHead) -> LinearHead:
    return LinearHead(0.5 * (one.weight + other.weight), 0.5 * (one.bias + other.bias))


def _mixed_fits(answers: SeveralLabels, features: Features, anchors: Features, layers: int) -> _Fits:
    """Mix the last layers of rows and class names, and prepare fits on them."""
    return _Fits(answers, mix_layers(features, layers), mix_layers(anchors, layers), layers)


class _Fits:
    """Fits with one number of layers, in the principal directions of the rows. This rotation does not change the penalties."""

    def __init__(self, answers: SeveralLabels, rows: Array, names: Array, layers: int) -> None:
        self.layers, self.targets = layers, answers.targets()
        self.basis = principal_directions(np.vstack([rows, names]))  # (directions, dim)
        self.rows, self.names = rows @ self.basis.T, names @ self.basis.T
        self.named = np.asarray(names.any(axis=1), np.float64)  # (classes,), 0 for a class without a name

    def squares(self, prior: float, ridge: float) -> tuple[LinearHead, Array]:
        """Return the head by least squares and its leave-one-out outputs, (n, classes)."""
        return fit_least_squares(self.rows, self.targets, self.names, prior * self.named, ridge)

    def losses_of_squares(self, prior: float, ridge: float) -> Array:
        """Return the calibrated leave-one-out log-loss of each row, (n,)."""
        _, held_out = self.squares(prior, ridge)
        losses: Array = binary_losses(fit_scaling(held_out, self.targets)(held_out), self.targets).sum(axis=1)
        return losses

    def logistic(self, prior: float, ridge: float, classes: Labels | None = None) -> LinearHead:
        """Fit the logistic regressions of these classes, or of all."""
        targets = np.vstack([self.targets, np.eye(len(self.names))])
        targets = targets if classes is None else targets[:, classes]
        weights = np.concatenate([np.ones(len(self.rows)), prior * self.named])
        return fit_logistic(np.vstack([self.rows, self.names]), targets, weights, ridge, tolerance=FIT_TOLERANCE)

    def choose_ridge(self, prior: float) -> float:
        """Choose the penalty of the logistic regressions: go up the grid while the log-loss falls."""
        order = np.random.default_rng(0).permutation(self.targets.shape[1])
        classes = order[np.argsort(self.targets.sum(axis=0)[order] == 0, kind="stable")][:SCREEN_CLASSES]
        targets, best, least = self.targets[:, classes], RIDGES[0], np.inf
        for ridge in RIDGES:
            head = self.logistic(prior, ridge, classes)
            held_out = loo_logistic(head, self.rows, targets, self.names, prior * self.named, ridge)
            loss = float(binary_losses(fit_scaling(held_out, targets)(held_out), targets).mean())
            if loss >= least:
                break
            best, least = ridge, loss
        return best

    def probe(self, prior: float, ridge: float, squares_ridge: float) -> Probe:
        """Fit both heads, and calibrate each of them and their mean by their leave-one-out logits."""
        squares, of_squares = self.squares(prior, squares_ridge)
        logistic = self.logistic(prior, ridge)
        of_logistic = loo_logistic(logistic, self.rows, self.targets, self.names, prior * self.named, ridge)
        scalings = fit_scaling(of_logistic, self.targets), fit_scaling(of_squares, self.targets)
        held_out = 0.5 * (scalings[0](of_logistic) + scalings[1](of_squares))
        both = fit_scaling(held_out, self.targets)
        temperature = 1.0 / both.scale
        shift = both.shift * temperature  # of the logits at temperature 1
        log_loss = float(binary_losses(both(held_out), self.targets).sum(axis=1).mean())
        chosen = SigmoidSetting(self.layers, prior, ridge, squares_ridge, *scalings, both, temperature, log_loss)
        head = _mean(_scaled(logistic, scalings[0]), _scaled(squares, scalings[1])).shifted(np.full(len(self.names), shift))
        return Probe(self.in_feature_space(head), chosen, held_out + shift)

    def in_feature_space(self, head: LinearHead) -> LinearHead:
        """Convert a head on the principal directions to one on the mixed features."""
        return LinearHead(head.weight @ self.basis, head.bias)
