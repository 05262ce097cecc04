"""The best head on frozen features. Leave-one-out evidence chooses its layers, prior, penalty and share.

The head is the weighted sum of two linear heads that make different errors: the anchored probe and a Gaussian
discriminant. The share is the weight of the discriminant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from fsat_tasks.numerics.evidence.calibration import fit_temperature
from fsat_tasks.numerics.evidence.held_out import row_losses
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Probe, Setting
from fsat_tasks.numerics.heads.discriminant import fit_discriminant
from fsat_tasks.numerics.heads.leave_one_out import approximate_loo_logits
from fsat_tasks.numerics.heads.probe import LinearHead, fit_softmax
from fsat_tasks.numerics.types import Array, Features, Labels

__all__ = ["Candidate", "FrozenHead", "fit_frozen_head", "fit_setting", "principal_directions", "refit_frozen_head"]

PRIORS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Numbers of rows that a class name may count as (alpha)."""
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Penalties of the probe's weights to try. None is below 0.01, because leave-one-out evidence is too optimistic
there. On two public data sets, this evidence rated the log-loss with penalty 0.003 as 5 % better than with 0.03.
On the test rows, the log-loss with 0.003 was 1 to 6 % worse."""
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Weights of the discriminant in the calibrated logits to try. Zero is not tried, because leave-one-out
evidence would choose the probe alone even where the sum of both heads is better on new rows."""
START_PRIOR, START_RIDGE, START_SHARE = 1.0, 0.03, 0.2
"""Values that the search starts from."""
SHRINKAGE = 1.0
"""Share of the mean variance that the discriminant adds to every direction."""
MAX_DIRECTIONS = 384
"""Maximum number of principal directions for the fit. The fit's time grows with the cube of this number, and more
directions were no better on any data set."""
SCREEN_ROWS = 400
"""Maximum number of rows on which layers, ridge and prior are compared. A class is drawn with all its rows or not at
all. The chosen setting is then fitted on all rows."""
FIT_TOLERANCE = 1e-3
"""Newton decrement at which the probe's fit stops. It is about as large as the error of the logits."""


@dataclass(frozen=True)
class Candidate(Setting):
    """One setting of the head, and its leave-one-out evidence on the samples."""

    prior: float
    """Number of rows that a class name counts as in the probe."""
    ridge: float
    """Penalty of the probe's weights."""
    share: float
    """Weight of the discriminant in the calibrated logits. The probe has the weight 1 - share."""
    probe_temperature: float
    discriminant_temperature: float
    temperature: float
    """Temperature of the weighted sum of both calibrated heads."""
    log_loss: float
    accuracy: float
    rows: int
    """Number of samples that the evidence comes from."""


@dataclass(frozen=True)
class FrozenHead(Probe):
    """The chosen head, which is not yet divided by the temperature."""

    chosen: Candidate
    trace: list[Candidate]
    """All settings that were tried, in order."""


def fit_frozen_head(features: Features, labels: Labels, names: Features) -> FrozenHead:
    """Choose the layers, then the ridge, the prior and the share, and fit the head. The choice that matters most is made first.

    More layers than the last one are used only if they lower the leave-one-out log-loss by more than one
    standard error of the paired differences. If only some samples are compared, the standard error is made as
    small as it would be with all samples. More layers help if the encoder was trained
    for a purpose that differs from the task. They hurt if it was trained for the purpose of the task.

    Args:
        features: (n, layers, dim), from the embedding layer to the last block.
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), features of the class names.
    """
    blocks = max(features.shape[1] - 1, 1)
    depths = sorted({min(depth, blocks) for depth in (1, 2, 3, 4, blocks)})
    rows, classes = _screen(labels, len(names))
    sample = features[rows], np.searchsorted(classes, labels[rows]), names[classes]
    searches = [_search(*sample, depth) for depth in depths]
    fits = [search.try_setting(START_PRIOR, START_RIDGE, START_SHARE) for search in searches]
    trace = [fit.candidate for fit in fits]
    best, chosen = fits[0], searches[0]
    for search, fit in zip(searches[1:], fits[1:], strict=True):
        gain = fits[0].losses - fit.losses  # (n,)
        if fit.candidate.log_loss < best.candidate.log_loss and gain.mean() > gain.std() / np.sqrt(len(labels)):
            best, chosen = fit, search
    for field, grid in (("ridge", RIDGES), ("prior", PRIORS)):
        best = _improve(chosen, best, field, grid, trace)
    if len(rows) < len(labels):
        kept = best.candidate
        chosen = _search(features, labels, names, kept.layers)
        best = chosen.try_setting(kept.prior, kept.ridge, kept.share)
        trace.append(best.candidate)
    best = _improve(chosen, best, "share", SHARES, trace)
    return FrozenHead(chosen.in_feature_space(best.head), best.candidate, best.held_out, trace)


def refit_frozen_head(features: Features, labels: Labels, names: Features, setting: Candidate) -> FrozenHead:
    """Fit the head on these samples with a setting that was chosen before, perhaps on different ones.

    The temperatures are fitted again.

    Args:
        features: (n, layers, dim).
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), features of the class names.
        setting: layers, prior, ridge and share of the head.
    """
    search = _search(features, labels, names, setting.layers)
    fit = search.try_setting(setting.prior, setting.ridge, setting.share)
    return FrozenHead(search.in_feature_space(fit.head), fit.candidate, fit.held_out, [fit.candidate])


def fit_setting(rows: Array, labels: Labels, names: Array, setting: Candidate) -> LinearHead:
    """Fit the head with a setting that was chosen before, and calibrate it with that setting's temperatures.

    Args:
        rows: (n, dim), the result of mix_layers(features, setting.layers) or a rotation of it.
        labels: (n,) in 0..classes-1; a class may have no row.
        names: (classes, dim), features of the class names, mixed and rotated like the rows.
        setting: the setting and its temperatures.
    """
    search = _Search(rows, labels, names, setting.layers)
    probe = search.fit_probe(setting.prior, setting.ridge)
    other, _ = fit_discriminant(search.rows, labels, search.names, START_PRIOR, SHRINKAGE)
    return search.in_feature_space(
        _sum(
            probe,
            (1.0 - setting.share) / (setting.probe_temperature * setting.temperature),
            other,
            setting.share / (setting.discriminant_temperature * setting.temperature),
        )
    )


def _sum(one: LinearHead, share: float, other: LinearHead, rest: float) -> LinearHead:
    """Return the weighted sum of two heads."""
    return LinearHead(share * one.weight + rest * other.weight, share * one.bias + rest * other.bias)


def _search(features: Features, labels: Labels, names: Features, layers: int) -> _Search:
    """Mix the last layers of samples and class names, and prepare fits on them."""
    return _Search(mix_layers(features, layers), labels, mix_layers(names, layers), layers)


def _screen(labels: Labels, classes: int) -> tuple[Labels, Labels]:
    """Draw classes that have at most SCREEN_ROWS rows together, but at least two classes.

    Returns:
        Positions of their rows, and the classes, both ascending.
    """
    counts = np.bincount(labels, minlength=classes)
    order = np.random.default_rng(0).permutation(classes)
    order = order[np.argsort(counts[order] == 0, kind="stable")]  # classes without rows last
    totals = np.cumsum(counts[order])
    kept = np.sort(order[: max(int(np.searchsorted(totals, SCREEN_ROWS, side="right")), 2)])
    return np.flatnonzero(np.isin(labels, kept)), kept


@dataclass(frozen=True)
class _Fit:
    """A fit in the principal directions, and its leave-one-out evidence."""

    head: LinearHead
    probe: LinearHead
    probe_held_out: Array  # (n, classes), calibrated
    probe_temperature: float
    held_out: Array  # (n, classes)
    losses: Array  # (n,) leave-one-out log-loss of each row
    candidate: Candidate


def _improve(search: _Search, best: _Fit, field: str, grid: tuple[float, ...], trace: list[Candidate]) -> _Fit:
    """Search one field of the setting. Go up the grid while the log-loss falls. If the first step up is no better, go down.

    Args:
        search: fits each setting.
        best: fit to start from.
        field: `ridge`, `prior` or `share`.
        grid: values of the field, ascending.
        trace: list to which every setting tried is appended.

    Returns:
        The best fit.
    """
    start = grid.index(getattr(best.candidate, field))
    for path in (grid[start + 1 :], grid[:start][::-1]):
        first = best
        for value in path:
            kept = best.candidate
            setting = {"prior": kept.prior, "ridge": kept.ridge, "share": kept.share, field: value}
            fit = search.try_setting(**setting, near=best)
            trace.append(fit.candidate)
            if fit.candidate.log_loss >= best.candidate.log_loss:
                break
            best = fit
        if best is not first:
            break
    return best


class _Search:
    """Fits with one number of layers, in the principal directions of the rows. This rotation does not change the penalty."""

    def __init__(self, features: Array, labels: Labels, names: Array, layers: int) -> None:
        rows = np.vstack([features, names])  # (n + classes, dim)
        self.labels, self.layers = labels, layers
        self.basis = principal_directions(rows)  # (directions, dim)
        self.rows, self.names = np.split(rows @ self.basis.T, [len(labels)])
        self.targets = np.eye(len(names))[np.concatenate([labels, np.arange(len(names))])]

    @cached_property
    def discriminant(self) -> tuple[LinearHead, Array, float]:
        """Calibrated discriminant, its calibrated leave-one-out logits (n, classes), and its temperature."""
        head, held_out = fit_discriminant(self.rows, self.labels, self.names, START_PRIOR, SHRINKAGE)
        temperature = fit_temperature(held_out, self.labels)
        return LinearHead(head.weight / temperature, head.bias / temperature), held_out / temperature, temperature

    def try_setting(self, prior: float, ridge: float, share: float, near: _Fit | None = None) -> _Fit:
        """Fit the head and compute its evidence. If `near` has the same prior and ridge, its probe is used again."""
        if near is not None and (near.candidate.prior, near.candidate.ridge) == (prior, ridge):
            probe, of_probe, probe_temperature = near.probe, near.probe_held_out, near.probe_temperature
        else:
            probe, of_probe, probe_temperature = self._calibrated_probe(prior, ridge)
        other, of_other, other_temperature = self.discriminant
        head = _sum(probe, 1.0 - share, other, share)
        held_out = (1.0 - share) * of_probe + share * of_other
        temperature = fit_temperature(held_out, self.labels)
        scaled = held_out / temperature
        losses = row_losses(scaled, self.labels)
        accuracy = float((held_out.argmax(axis=1) == self.labels).mean())
        settings = self.layers, prior, ridge, share, probe_temperature, other_temperature, temperature
        candidate = Candidate(*settings, float(losses.mean()), accuracy, len(self.labels))
        return _Fit(head, probe, of_probe, probe_temperature, held_out, losses, candidate)

    def _calibrated_probe(self, prior: float, ridge: float) -> tuple[LinearHead, Array, float]:
        """Calibrated probe, its calibrated leave-one-out logits (n, classes), and its temperature."""
        probe = self.fit_probe(prior, ridge)
        held_out = approximate_loo_logits(probe, self.rows, self.labels, self.names, prior, ridge)
        temperature = fit_temperature(held_out, self.labels)
        return LinearHead(probe.weight / temperature, probe.bias / temperature), held_out / temperature, temperature

    def fit_probe(self, prior: float, ridge: float) -> LinearHead:
        """Fit the probe in the principal directions."""
        weights = np.concatenate([np.ones(len(self.labels)), np.full(len(self.names), prior)])
        return fit_softmax(np.vstack([self.rows, self.names]), self.targets, weights, ridge, tolerance=FIT_TOLERANCE)

    def in_feature_space(self, head: LinearHead) -> LinearHead:
        """Convert a head on the principal directions to one on the mixed features."""
        return LinearHead(head.weight @ self.basis, head.bias)


def principal_directions(rows: Array) -> Array:
    """Return the strongest orthonormal directions of the rows, MAX_DIRECTIONS at most, (directions, dim)."""
    n, dim = rows.shape
    squares, vectors = linalg.eigh(rows @ rows.T if n < dim else rows.T @ rows)  # ascending
    squares, vectors = squares[::-1][:MAX_DIRECTIONS], vectors[:, ::-1][:, :MAX_DIRECTIONS]
    kept = squares > 1e-12 * squares[0]
    kept[0] = True  # keep one direction even if all rows are zero
    directions = rows.T @ vectors[:, kept] if n < dim else vectors[:, kept]  # (dim, directions)
    norms = np.linalg.norm(directions, axis=0)
    basis: Array = (directions / np.where(norms > 0, norms, 1.0)).T
    return basis
