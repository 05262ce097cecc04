"""Is a text in scope at all: a score that needs no out-of-scope sample, and the threshold that keeps the asked share.

Views are summed, each in standard deviations of the samples' leave-one-out values, because each is blind to something:

- certainty, the negative entropy of the calibrated probabilities: low between classes, but high far away from all of them;
- the cosine to the nearest prototype: low far away from all classes, but no lower between two wide classes than in them;
- the mean cosine to the nearest shots (Sun et al. 2022), each less the cosine that is usual around that shot: a dense class is
  fenced in tighter than a wide one (the local scale of Breunig et al. 2000, "LOF").

Where there are out-of-scope rows, how far the nearest of them is makes one more view.

Equal weights are meant: a logistic regression on the views gains little where the out-of-scope rows are as those to come, and
loses much more where those to come are of other kinds. Nor is an unlabelled pool used: the cosine to its rows helps where many
of them are out of scope and harms where few are.

The whole is products with constant matrices, a softmax, maxima and the top few of a row: it goes into a static graph as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax
from scipy.stats import rankdata

from fsat_tasks.numerics.evidence.conformal import conformal_quantile
from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.types import Array, Labels

__all__ = [
    "ScopeModel",
    "area_under_roc",
    "coverage_threshold",
    "false_positive_rate",
    "fit_scope",
    "scope_scores",
    "unseen_views",
]

NEAREST = 3
"""Shots that a text is compared to."""
SURROUNDINGS = 5
"""Neighbours of a shot that say which cosine is usual around it."""
SMALLEST_SPREAD = 1e-9
"""A view that spreads less over the samples is not scaled up."""
BLOCK = 512
"""Rows that are compared to the bank at a time."""
ROUNDING = 1e-9
"""Keeps a product or a cosine on the side where it would be without its last digits."""


@dataclass(frozen=True)
class ScopeModel:
    """What `scope_scores` needs; higher scores are more in scope."""

    prototypes: Array  # (classes, dim) of unit length
    bank: Array  # (shots + classes, dim), the shots and then the class names
    usual: Array  # (shots + classes,) mean cosine of a bank row to its nearest others
    nearest: int  # bank rows that a text is compared to
    outside: Array  # (rows, dim) out of scope, maybe none
    temperature: float
    centre: Array  # (views,)
    weight: Array  # (views,)
    held_out: Array  # (shots,) leave-one-out scores


def fit_scope(
    features: Array,
    labels: Labels,
    names: Array,
    temperature: float,
    held_out: Array,
    outside: Array | None = None,
    unseen: Array | None = None,
) -> ScopeModel:
    """Standardise the views by the samples' leave-one-out values.

    Args:
        features: (n, dim) of the samples, as the head sees them; of unit length.
        labels: (n,) in 0..classes-1; a class may have no row, its name then stands for it.
        names: (classes, dim), the class names' features; of unit length.
        temperature: > 0, of the head's logits.
        held_out: (n, classes) leave-one-out logits of the samples.
        outside: (m, dim) of out-of-scope rows, if there are any; of unit length.
        unseen: (k, 2) of `unseen_views` of the first k samples, where the features come from an encoder that was tuned on
            them: such a sample lies nearer to the others than a new text does, even where it is left out of them.
    """
    sums = names.copy()  # (classes, dim)
    np.add.at(sums, labels, features)
    bank = np.vstack([features, names])
    closest = _closest(bank)  # (bank, kept)
    nearest = min(NEAREST, len(bank) - 1)
    outside = np.empty((0, names.shape[1])) if outside is None else outside

    to_prototypes = features @ unit_rows(sums).T  # (n, classes)
    to_prototypes[np.arange(len(labels)), labels] = np.sum(features * unit_rows(sums[labels] - features), axis=1)
    relative = (cosines - _usual_without(cosines, closest) for cosines in _to_others(bank, len(labels)))
    nearness = np.concatenate([np.empty(0), *(_top_mean(block, nearest) for block in relative)])
    views = _views(held_out / temperature, to_prototypes, nearness, features @ outside.T)
    if unseen is not None:
        views[: len(unseen), 1:3] = unseen
    centre, weight = _standardisation(views)
    return ScopeModel(
        prototypes=unit_rows(sums),
        bank=bank,
        usual=closest[:, :SURROUNDINGS].mean(axis=1),
        nearest=nearest,
        outside=outside,
        temperature=temperature,
        centre=centre,
        weight=weight,
        held_out=(views - centre) @ weight,
    )


def scope_scores(model: ScopeModel, features: Array, logits: Array) -> Array:
    """How much in scope each row is, (n,): 0 is usual for a sample, the more below the less in scope.

    Args:
        features: (n, dim), as the head sees them; of unit length.
        logits: (n, classes) of the head, not yet divided by the temperature.
    """
    blocks = (features[at : at + BLOCK] @ model.bank.T - model.usual for at in range(0, len(features), BLOCK))
    nearness = np.concatenate([np.empty(0), *(_top_mean(block, model.nearest) for block in blocks)])
    views = _views(logits / model.temperature, features @ model.prototypes.T, nearness, features @ model.outside.T)
    scores: Array = (views - model.centre) @ model.weight
    return scores


def unseen_views(features: Array, labels: Labels, names: Array, rows: Array) -> Array:
    """Cosine to the nearest prototype and nearness to the nearest samples, (m, 2), of rows that the encoder has not seen.

    Args:
        features, labels, names: (n, dim), (n,) and (classes, dim), as for `fit_scope`: what it was tuned on.
        rows: (m, dim) of unit length.
    """
    sums = names.copy()
    np.add.at(sums, labels, features)
    bank = np.vstack([features, names])
    usual = _closest(bank)[:, :SURROUNDINGS].mean(axis=1)
    nearness = _top_mean(rows @ bank.T - usual, min(NEAREST, len(bank) - 1))
    return np.column_stack([(rows @ unit_rows(sums).T).max(axis=1), nearness])


def coverage_threshold(scores: Array, coverage: float) -> float:
    """The score that an in-scope row reaches with at least this probability, from the samples' leave-one-out scores.

    Minus infinity, so that every row is kept, where there are too few samples for the coverage; see `conformal_quantile`.
    """
    return -conformal_quantile(-scores, coverage)


def false_positive_rate(inside: Array, outside: Array, recall: float = 0.95) -> float:
    """Share of the out-of-scope rows that pass at the highest threshold which at least `recall` of the in-scope rows reach.

    Args:
        inside: (n,) scores of in-scope rows, n >= 1.
        outside: (m,) scores of out-of-scope rows, m >= 1.
    """
    below = min(int(len(inside) * (1.0 - recall) + ROUNDING), len(inside) - 1)  # in-scope rows that may be lost
    return float((outside >= np.partition(inside, below)[below]).mean())


def area_under_roc(inside: Array, outside: Array) -> float:
    """Probability that an in-scope row scores higher than an out-of-scope one; a tie counts half."""
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    # the Mann-Whitney statistic: the ranks' sum less what they have among themselves
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def _views(logits: Array, to_prototypes: Array, nearness: Array, to_outside: Array) -> Array:
    """(n, 3 views), or 4 where there are rows outside.

    Args:
        logits: (n, classes), divided by the temperature.
        to_prototypes: (n, classes) cosines.
        nearness: (n,) to the nearest shots.
        to_outside: (n, rows outside) cosines.
    """
    log_p = log_softmax(logits, axis=1)
    certainty = np.sum(np.exp(log_p) * log_p, axis=1)  # negative entropy in nats
    views = [certainty, to_prototypes.max(axis=1), nearness]
    if to_outside.shape[1]:
        views.append(-to_outside.max(axis=1))
    return np.column_stack(views)


def _standardisation(views: Array) -> tuple[Array, Array]:
    """Mean of each view and one over its standard deviation, (views,) each; without rows the views stay as they are."""
    if len(views) == 0:
        return np.zeros(views.shape[1]), np.ones(views.shape[1])
    spread = views.std(axis=0)
    return views.mean(axis=0), 1.0 / np.where(spread > SMALLEST_SPREAD, spread, 1.0)


def _to_others(bank: Array, rows: int) -> Iterator[Array]:
    """Cosines of the first `rows` bank rows to all, in blocks (block, bank); minus infinity to itself."""
    for at in range(0, rows, BLOCK):
        cosines = bank[at : min(at + BLOCK, rows)] @ bank.T
        cosines[np.arange(len(cosines)), np.arange(at, at + len(cosines))] = -np.inf
        yield cosines


def _closest(bank: Array) -> Array:
    """Cosines of each bank row to its nearest others, falling: one more than SURROUNDINGS, (bank, kept)."""
    kept = min(SURROUNDINGS + 1, len(bank) - 1)
    return np.vstack(
        [-np.sort(np.partition(-cosines, kept - 1, axis=1)[:, :kept], axis=1) for cosines in _to_others(bank, len(bank))]
    )


def _usual_without(cosines: Array, closest: Array) -> Array:
    """The usual cosine around each bank row as if row i were not in the bank, (block, bank).

    Args:
        cosines: (block, bank) of the rows i to the bank.
        closest: (bank, kept), `_closest` of the bank.
    """
    kept = closest.shape[1] - 1
    if kept == 0:  # the row left out was the only other one
        return np.zeros_like(cosines)
    # where row i is among the nearest, the next one moves up
    among_nearest = cosines >= closest[:, kept - 1] - ROUNDING
    without: Array = np.where(among_nearest, (closest.sum(axis=1) - cosines) / kept, closest[:, :kept].mean(axis=1))
    return without


def _top_mean(values: Array, count: int) -> Array:
    """Mean of the `count` largest of each row, (n,)."""
    top: Array = np.partition(values, -count, axis=1)[:, -count:].mean(axis=1)
    return top
