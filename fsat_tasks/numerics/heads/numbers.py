"""Numbers: ridge regression on frozen features, with exact leave-one-out evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from fsat_tasks.numerics.evidence.held_out import HeldOut, stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Answers, Probe, Setting
from fsat_tasks.numerics.heads.depth import choose_depth, screen
from fsat_tasks.numerics.heads.frozen import principal_directions
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Features, Labels

__all__ = ["NumberSetting", "Numbers", "fit_ridge", "usual_tolerance"]

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Penalties of the weights to try, for rows of unit length."""
START_RIDGE = 0.3
"""Penalty with which numbers of layers are compared."""
BINS, BIN_ROWS = 5, 4
"""Maximum number of bins of values, and the number of rows for each bin, of which there are at least two."""
PRIOR_ROWS = 1.0
"""Number of rows that the variance of the values counts as, in the variance of the errors. With it, a few perfect rows do not
give an error of zero."""

AIM = "the true number"
"""The right prediction for a row, in words."""


@dataclass(frozen=True)
class NumberSetting(Setting):
    """Setting of the ridge regression, and its leave-one-out evidence."""

    ridge: float
    """Penalty of the weights."""
    temperature: float
    """Root mean square of the leave-one-out errors, in the units of the numbers."""
    log_loss: float
    """Mean Gaussian negative log-likelihood of the left-out numbers, in nats."""


@dataclass(frozen=True)
class Numbers(Answers):
    """Rows that are labelled with a number each. A logit divided by the temperature is the number in units of its error."""

    values: Array  # (n,)
    tolerance: float
    """Maximum distance from the true number at which a predicted number counts as right."""
    link: ClassVar[Link] = Link.IDENTITY

    @cached_property
    def groups(self) -> int:
        """Number of bins of values, at least 2."""
        return max(len(self._centres), 2)

    def __len__(self) -> int:
        return len(self.values)

    def at(self, rows: NDArray[Any]) -> Numbers:
        """Return the numbers of the rows with these indices or in this mask."""
        return replace(self, values=self.values[rows])

    def members(self) -> tuple[Labels, Labels]:
        """Return row and bin of each row. Bins are quantiles of the values, and equal values are in one bin."""
        return np.arange(len(self)), self._bins

    def folds(self, count: int) -> Labels:
        """Sort the rows by value, and deal them out to the folds, (n,)."""
        rank = np.argsort(np.argsort(self.values, kind="stable"), kind="stable")
        return stratified_folds(rank, count)

    def shares(self) -> NDArray[np.float32]:
        """Divide each row between the two nearest bins, so that the mean of their centres is the value, (n, groups).

        This is the two-hot target of Farebrother et al. (2024, section 3.1). A value beyond the outermost centres belongs to
        the outermost bin alone.
        """
        shares = np.zeros((len(self), self.groups), np.float32)
        at = np.arange(len(self.values))
        place = np.interp(self.values, self._centres, np.arange(len(self._centres)))  # (n,) between two bins
        low = place.astype(np.int64)
        high = np.minimum(low + 1, self.groups - 1)
        shares[at, high] = place - low
        shares[at, low] = 1.0 - (place - low)
        return shares

    def search(self, features: Features, anchors: Features) -> Probe:
        """Choose layers and ridge by leave-one-out squared error, and fit the head.

        More layers than the last one are used only if they lower the squared error by more than one standard error of the
        paired differences. Settings are compared on SCREEN_ROWS rows at most. Anchors are not used. Arguments are those of
        `Answers.search`.
        """
        rows = screen(len(self))
        layers, ridge = self.at(rows)._choose(features[rows], len(self))
        return self._probe(layers, ridge, features)

    def _choose(self, features: Features, total: int) -> tuple[int, float]:
        """Return layers and ridge with the lowest error on these rows, which are drawn from a total number of rows."""

        def losses_of(depth: int) -> Array:
            return np.square(_Rows(mix_layers(features, depth), self.values).fit(START_RIDGE)[1])

        layers = choose_depth(features.shape[1], total, losses_of)
        rows = _Rows(mix_layers(features, layers), self.values)
        return layers, min(RIDGES, key=lambda ridge: float(np.square(rows.fit(ridge)[1]).mean()))

    def refit(self, features: Features, anchors: Features, setting: Setting) -> Probe:
        """Fit the head with a setting that was chosen before. The temperature is fitted again."""
        assert isinstance(setting, NumberSetting)
        return self._probe(setting.layers, setting.ridge, features)

    def fit(self, rows: Array, anchors: Array, setting: Setting) -> LinearHead:
        """Fit the head with a setting that was chosen before. Its logits are numbers in their own units."""
        assert isinstance(setting, NumberSetting)
        return fit_ridge(rows, self.values, setting.ridge)[0]

    def judge(self, logits: Array) -> HeldOut:
        """Score held-out numbers. The temperature is the root mean square of their errors, with a prior of PRIOR_ROWS.

        Args:
            logits: (n, 1), numbers in their own units, for rows that the model has not seen.
        """
        errors = logits[:, 0] - self.values  # (n,)
        temperature = self._spread(errors)
        losses = 0.5 * np.square(errors / temperature) + np.log(temperature) + 0.5 * np.log(2.0 * np.pi)
        return HeldOut(logits / temperature, temperature, losses, np.abs(errors) <= self.tolerance, AIM)

    def _spread(self, errors: Array) -> float:
        """Return the most plausible root mean square of errors, > 0. If all values are equal, the tolerance is the prior."""
        usual = float(self.values.std()) if np.ptp(self.values) > 0 else self.tolerance or 1.0
        square = (np.square(errors).sum() + PRIOR_ROWS * usual**2) / (len(errors) + PRIOR_ROWS)
        return float(np.sqrt(square))

    def _probe(self, layers: int, ridge: float, features: Features) -> Probe:
        """Fit the head with this setting, and compute its evidence."""
        head, errors = fit_ridge(mix_layers(features, layers), self.values, ridge)
        held_out = (self.values + errors)[:, None]  # (n, 1)
        judged = self.judge(held_out)
        return Probe(head, NumberSetting(layers, ridge, judged.temperature, judged.log_loss), held_out)

    @cached_property
    def _bins(self) -> Labels:
        """Bin of each row, (n,). Values that are equal have their mean rank."""
        count = int(np.clip(len(self) // BIN_ROWS, 2, BINS))
        place = (rankdata(self.values) - 0.5) / max(len(self), 1)  # (n,) in 0..1
        found = np.unique((place * count).astype(np.int64), return_inverse=True)[1]
        return np.asarray(found, np.int64)

    @cached_property
    def _centres(self) -> Array:
        """Mean value of each bin, (bins,), ascending."""
        return np.asarray(np.bincount(self._bins, self.values) / np.bincount(self._bins))


def usual_tolerance(values: Array) -> float:
    """Return the tolerance of a task that names none: half the standard deviation of its numbers (n,), in their unit."""
    return 0.5 * float(np.std(values))


def fit_ridge(rows: Array, values: Array, ridge: float) -> tuple[LinearHead, Array]:
    """Minimise the squared error plus ridge * ||weight||^2, with a free intercept.

    A leave-one-out error is the error of the fit divided by 1 - leverage, exactly (PRESS, Allen 1974). With more rows than
    MAX_DIRECTIONS, the fit is in the strongest MAX_DIRECTIONS principal directions.

    Args:
        rows: (n, dim), at least one row.
        values: (n,).
        ridge: penalty of the weights, > 0.

    Returns:
        The head, with one row of weights, and the leave-one-out errors, predicted minus true, (n,).
    """
    return _Rows(rows, values).fit(ridge)


class _Rows:
    """Centred rows in their principal directions, and centred values. One rotation serves all ridges."""

    def __init__(self, rows: Array, values: Array) -> None:
        self.centre, self.mean = rows.mean(axis=0), float(values.mean())
        self.values = values - self.mean
        self.basis = principal_directions(rows - self.centre)  # (directions, dim)
        self.turned = (rows - self.centre) @ self.basis.T  # (n, directions), with uncorrelated columns

    def fit(self, ridge: float) -> tuple[LinearHead, Array]:
        """Fit the head, and return it with its leave-one-out errors, (n,)."""
        inverse = 1.0 / (np.square(self.turned).sum(axis=0) + ridge)  # (directions,)
        along = inverse * (self.turned.T @ self.values)  # (directions,)
        errors = self.turned @ along - self.values  # (n,)
        free = 1.0 - 1.0 / len(errors) - np.square(self.turned) @ inverse  # (n,) 1 - leverage, zero only for a row alone
        held_out: Array = errors / np.where(free > 0.0, free, 1.0)
        weight = along @ self.basis  # (dim,)
        return LinearHead(weight[None], np.array([self.mean - weight @ self.centre])), held_out
