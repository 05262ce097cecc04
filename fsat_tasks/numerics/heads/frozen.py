"""The best head on frozen features: which layers, how strong a prior, how much shrinkage, all by leave-one-out evidence.

The head is the sum of two linear ones, which err differently: the anchored probe and a Gaussian discriminant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from fsat_tasks.numerics.evidence.calibration import fit_temperature
from fsat_tasks.numerics.evidence.held_out import row_losses
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.discriminant import fit_discriminant
from fsat_tasks.numerics.heads.probe import LinearHead, approximate_loo_logits, fit_softmax
from fsat_tasks.numerics.types import Array, Features, Labels

__all__ = ["Candidate", "FrozenHead", "fit_frozen_head", "fit_setting", "refit_frozen_head"]

PRIORS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Rows that a class name may count for (alpha)."""
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Not below 0.01: there the leave-one-out evidence is too good (on two public sets 0.003 seemed 5 % better in log-loss
than 0.03 and was 1 to 6 % worse on the test sets)."""
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Of the discriminant in the calibrated logits. Never none: the evidence favours the probe alone where both are better."""
START_PRIOR, START_RIDGE, START_SHARE = 1.0, 0.03, 0.2
SHRINKAGE = 1.0
"""Share of the mean variance that the discriminant adds to every direction."""
MAX_DIRECTIONS = 384
"""Principal directions that the fit runs in: more cost time cubed and have not paid on any set tried."""
SCREEN_ROWS = 400
"""Rows, of whole classes, on which the settings are compared where there are more; the chosen one is fitted on all."""
FIT_TOLERANCE = 1e-3
"""Error of the probe's logits."""


@dataclass(frozen=True)
class Candidate:
    """One setting and its evidence on the samples, each left out in turn."""

    layers: int
    """The encoder's last so many layers."""
    prior: float
    ridge: float
    share: float
    """The discriminant's, in the calibrated logits; the probe has the rest."""
    probe_temperature: float
    discriminant_temperature: float
    temperature: float
    """Of the sum of the two, each calibrated."""
    log_loss: float
    accuracy: float
    rows: int
    """Samples that the evidence is from."""


@dataclass(frozen=True)
class FrozenHead:
    """The chosen head; logits are mix_layers(features, layers) @ weight.T + bias, to be divided by the temperature."""

    head: LinearHead
    chosen: Candidate
    trace: list[Candidate]
    held_out: Array  # (n, classes) leave-one-out logits at temperature 1


def fit_frozen_head(features: Features, labels: Labels, names: Features) -> FrozenHead:
    """Choose the layers, then the ridge, the prior and the share: one after the other, as each matters less.

    More layers than the last are taken only where the paired leave-one-out log-loss is lower by more than one standard
    error (that of all samples, where fewer are screened): they help where the encoder was trained for something else than
    the task, and hurt where it was trained for just this.

    Args:
        features: (n, layers, dim), from the embedding layer to the last block.
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), the class names' features.
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
        best = _climb(chosen, best, field, grid, trace)
    if len(rows) < len(labels):
        kept = best.candidate
        chosen = _search(features, labels, names, kept.layers)
        best = chosen.try_setting(kept.prior, kept.ridge, kept.share)
        trace.append(best.candidate)
    best = _climb(chosen, best, "share", SHARES, trace)
    return FrozenHead(chosen.in_feature_space(best.head), best.candidate, trace, best.held_out)


def refit_frozen_head(features: Features, labels: Labels, names: Features, setting: Candidate) -> FrozenHead:
    """The head of a setting that was found before, on other samples, and their leave-one-out logits."""
    search = _search(features, labels, names, setting.layers)
    fit = search.try_setting(setting.prior, setting.ridge, setting.share)
    return FrozenHead(search.in_feature_space(fit.head), fit.candidate, [fit.candidate], fit.held_out)


def fit_setting(rows: Array, labels: Labels, names: Array, setting: Candidate) -> LinearHead:
    """The head at a setting that was found, calibrated as it was then.

    Args:
        rows: (n, dim), of mix_layers(features, setting.layers), or a rotation of them.
        labels: (n,) in 0..classes-1; a class may have no row.
        names: (classes, dim), likewise.
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
    return LinearHead(share * one.weight + rest * other.weight, share * one.bias + rest * other.bias)


def _search(features: Features, labels: Labels, names: Features, layers: int) -> _Search:
    return _Search(mix_layers(features, layers), labels, mix_layers(names, layers), layers)


def _screen(labels: Labels, classes: int) -> tuple[Labels, Labels]:
    """Positions of the rows of as many classes as SCREEN_ROWS holds, two at least, and these classes, both in order."""
    counts = np.bincount(labels, minlength=classes)
    order = np.random.default_rng(0).permutation(classes)
    order = order[np.argsort(counts[order] == 0, kind="stable")]  # classes without rows last
    totals = np.cumsum(counts[order])
    kept = np.sort(order[: max(int(np.searchsorted(totals, SCREEN_ROWS, side="right")), 2)])
    return np.flatnonzero(np.isin(labels, kept)), kept


@dataclass(frozen=True)
class _Fit:
    head: LinearHead
    probe: LinearHead
    probe_held_out: Array  # (n, classes), calibrated
    probe_temperature: float
    held_out: Array  # (n, classes)
    losses: Array  # (n,) log-loss of each row, left out
    candidate: Candidate


def _climb(search: _Search, best: _Fit, field: str, grid: tuple[float, ...], trace: list[Candidate]) -> _Fit:
    """Up the grid from the start while the log-loss falls; down it where the first step up did not pay."""
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
    """Fits on one number of layers, in the principal directions of the rows: the penalty does not see a rotation."""

    def __init__(self, features: Array, labels: Labels, names: Array, layers: int) -> None:
        rows = np.vstack([features, names])  # (n + classes, dim)
        self.labels, self.layers = labels, layers
        self.basis = _principal_directions(rows)  # (directions, dim)
        self.rows, self.names = np.split(rows @ self.basis.T, [len(labels)])
        self.targets = np.eye(len(names))[np.concatenate([labels, np.arange(len(names))])]

    @cached_property
    def discriminant(self) -> tuple[LinearHead, Array, float]:
        """The calibrated head, its leave-one-out logits, and the temperature."""
        head, held_out = fit_discriminant(self.rows, self.labels, self.names, START_PRIOR, SHRINKAGE)
        temperature = fit_temperature(held_out, self.labels)
        return LinearHead(head.weight / temperature, head.bias / temperature), held_out / temperature, temperature

    def try_setting(self, prior: float, ridge: float, share: float, near: _Fit | None = None) -> _Fit:
        """The fit and its evidence; `near`, the fit of a near-by setting, saves time."""
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
        probe = self.fit_probe(prior, ridge)
        held_out = approximate_loo_logits(probe, self.rows, self.labels, self.names, prior, ridge)
        temperature = fit_temperature(held_out, self.labels)
        return LinearHead(probe.weight / temperature, probe.bias / temperature), held_out / temperature, temperature

    def fit_probe(self, prior: float, ridge: float) -> LinearHead:
        weights = np.concatenate([np.ones(len(self.labels)), np.full(len(self.names), prior)])
        return fit_softmax(np.vstack([self.rows, self.names]), self.targets, weights, ridge, tolerance=FIT_TOLERANCE)

    def in_feature_space(self, head: LinearHead) -> LinearHead:
        return LinearHead(head.weight @ self.basis, head.bias)


def _principal_directions(rows: Array) -> Array:
    """Orthonormal directions that span the rows, the strongest MAX_DIRECTIONS of them, (directions, dim)."""
    n, dim = rows.shape
    squares, vectors = linalg.eigh(rows @ rows.T if n < dim else rows.T @ rows)  # ascending
    squares, vectors = squares[::-1][:MAX_DIRECTIONS], vectors[:, ::-1][:, :MAX_DIRECTIONS]
    kept = squares > 1e-12 * squares[0]
    kept[0] = True  # one direction even where all rows are zero
    directions = rows.T @ vectors[:, kept] if n < dim else vectors[:, kept]  # (dim, directions)
    norms = np.linalg.norm(directions, axis=0)
    basis: Array = (directions / np.where(norms > 0, norms, 1.0)).T
    return basis
