"""The best head on frozen features: which layers, how strong a prior, how much shrinkage, all by leave-one-out evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from fsat_tasks.numerics.calibration import fit_temperature
from fsat_tasks.numerics.probe import Array, Labels, LinearHead, approximate_loo_logits, fit_probe

__all__ = ["Candidate", "FrozenHead", "fit_frozen_head", "mix_layers"]

Features = NDArray[np.floating]

PRIORS = (0.5, 2.0, 4.0)
"""Rows that a class name may count for (alpha), besides START_PRIOR."""
RIDGES = (0.003, 0.01, 0.1, 0.3, 1.0)
"""Besides START_RIDGE."""
START_PRIOR, START_RIDGE = 1.0, 0.03
MAX_DIRECTIONS = 512
"""Principal directions that the fit runs in: more cost time cubed and have not paid on any set tried."""


@dataclass(frozen=True)
class Candidate:
    """One setting and its evidence on the samples, each left out in turn."""

    layers: int
    """The encoder's last so many layers."""
    prior: float
    ridge: float
    temperature: float
    log_loss: float
    accuracy: float


@dataclass(frozen=True)
class FrozenHead:
    """The chosen head; logits are mix_layers(features, layers) @ weight.T + bias, to be divided by the temperature."""

    head: LinearHead
    chosen: Candidate
    trace: list[Candidate]
    held_out: Array  # (n, classes) leave-one-out logits at temperature 1


def mix_layers(features: Features, layers: int) -> Array:
    """The last `layers` layers side by side, each of equal length and the whole on the unit sphere.

    Args:
        features: (n, all layers, dim).

    Returns:
        (n, layers * dim); a layer of zeros stays.
    """
    rows = np.asarray(features[:, -layers:], np.float64)  # (n, layers, dim)
    norms = np.linalg.norm(rows, axis=2, keepdims=True)
    unit: Array = rows / (np.where(norms > 0, norms, 1.0) * np.sqrt(layers))
    return unit.reshape(len(unit), -1)


def fit_frozen_head(features: Features, labels: Labels, names: Features) -> FrozenHead:
    """Choose the layers, then the ridge, then the prior: one after the other, since each matters less than the last.

    More layers than the last are taken only where the paired leave-one-out log-loss is lower by more than one standard
    error: they help where the encoder was trained for something else than the task, and hurt where it was trained for
    just this.

    Args:
        features: (n, layers, dim), from the embedding layer to the last block.
        labels: (n,) in 0..classes-1.
        names: (classes, layers, dim), the class names' features.
    """
    blocks = max(features.shape[1] - 1, 1)
    depths = sorted({min(depth, blocks) for depth in (1, 2, 3, 4, blocks)})
    searches = [_Search(features, labels, names, depth) for depth in depths]
    last, *deeper = [search.try_setting(START_PRIOR, START_RIDGE) for search in searches]
    trace = [last.candidate, *(fit.candidate for fit in deeper)]
    best, chosen = last, searches[0]
    for search, fit in zip(searches[1:], deeper, strict=True):
        gain = last.losses - fit.losses  # (n,)
        if fit.candidate.log_loss < best.candidate.log_loss and gain.mean() > gain.std() / np.sqrt(len(gain)):
            best, chosen = fit, search
    for ridge in RIDGES:
        best = _record(chosen.try_setting(START_PRIOR, ridge), best, trace)
    for prior in PRIORS:
        best = _record(chosen.try_setting(prior, best.candidate.ridge), best, trace)
    return FrozenHead(chosen.in_feature_space(best.head), best.candidate, trace, best.held_out)


@dataclass(frozen=True)
class _Fit:
    head: LinearHead
    held_out: Array  # (n, classes)
    losses: Array  # (n,) log-loss of each row, left out
    candidate: Candidate


def _record(fit: _Fit, best: _Fit, trace: list[Candidate]) -> _Fit:
    trace.append(fit.candidate)
    return fit if fit.candidate.log_loss < best.candidate.log_loss else best


class _Search:
    """Fits on one number of layers, in the principal directions of the rows: the penalty does not see a rotation."""

    def __init__(self, features: Features, labels: Labels, names: Features, layers: int) -> None:
        rows = np.vstack([mix_layers(features, layers), mix_layers(names, layers)])  # (n + classes, dim)
        self.labels, self.layers = labels, layers
        self.basis = _principal_directions(rows)  # (directions, dim)
        self.rows, self.names = np.split(rows @ self.basis.T, [len(labels)])

    def try_setting(self, prior: float, ridge: float) -> _Fit:
        head = fit_probe(self.rows, self.labels, self.names, prior, ridge)
        held_out = approximate_loo_logits(head, self.rows, self.labels, self.names, prior, ridge)
        temperature = fit_temperature(held_out, self.labels)
        scaled = held_out / temperature
        losses = logsumexp(scaled, axis=1) - scaled[np.arange(len(self.labels)), self.labels]
        accuracy = float((held_out.argmax(axis=1) == self.labels).mean())
        candidate = Candidate(self.layers, prior, ridge, temperature, float(losses.mean()), accuracy)
        return _Fit(head, held_out, losses, candidate)

    def in_feature_space(self, head: LinearHead) -> LinearHead:
        return LinearHead(head.weight @ self.basis, head.bias)


def _principal_directions(rows: Array) -> Array:
    """Orthonormal directions that span the rows, the strongest MAX_DIRECTIONS of them, (directions, dim)."""
    _, strengths, directions = np.linalg.svd(rows, full_matrices=False)
    kept = strengths > 1e-7 * strengths[0]
    basis: Array = directions[kept][:MAX_DIRECTIONS]
    return basis
