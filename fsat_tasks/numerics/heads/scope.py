"""Out-of-scope detection: a score that needs no out-of-scope sample, and a threshold that a chosen share of task rows reaches.

The score is the sum of several views of a row. Each view is measured in standard deviations of the samples'
leave-one-out values. Each view alone misses something:

- Certainty, the negative entropy of the calibrated probabilities. It is low between classes, but high far
  away from them.
- The cosine to the nearest prototype. It is low far away from all classes. But between two wide
  classes it is as high as inside one of them.
- The nearness to the nearest shots (Sun et al. 2022). It is the mean over these shots of the cosine to the shot
  minus the cosine that is usual around that shot. So a dense class has a tighter border than a wide
  one (the local scale of Breunig et al. 2000, "LOF").

If there are out-of-scope rows, the distance to the nearest of them is one more view.

The views have equal weights. Weights from a logistic regression gain little if new out-of-scope texts are like the
known ones, and lose much more if they are not like them. The unlabelled pool is not used, because the cosine to
its rows helps only if many of them are out of scope, and harms if few are.

The score consists of products with constant matrices, a softmax, maxima and a top-k, so it can be exported as
a static graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from fsat_tasks.numerics.evidence.conformal import conformal_quantile
from fsat_tasks.numerics.geometry.neighbours import unit_rows
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.types import Array, Matrix, Vector

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
"""Number of nearest rows of the bank (the shots and the class names) that a text is compared with."""
SURROUNDINGS = 5
"""Number of a shot's neighbours whose mean cosine is the usual cosine around the shot."""
SMALLEST_SPREAD = 1e-9
"""Standard deviation below which a view is not scaled."""
BLOCK = 512
"""Number of rows that are compared with the bank at a time."""
ROUNDING = 1e-9
"""Tolerance of comparisons against floating-point error."""


@dataclass(frozen=True)
class ScopeModel:
    """Parameters of `scope_scores`. Higher scores are more in scope."""

    prototypes: Matrix  # (classes, dim), mean directions of the classes, of unit length
    bank: Matrix  # (shots + classes, dim), the shots and then the class names
    usual: Vector  # (shots + classes,), mean cosine of a bank row to the bank rows that are nearest to it
    nearest: int  # number of bank rows that a text is compared with
    outside: Matrix  # (rows, dim), out-of-scope rows, maybe none
    temperature: float
    centre: Vector  # (views,), mean of each view over the samples
    weight: Vector  # (views,), one over each view's standard deviation
    held_out: Vector  # (shots,), leave-one-out scores
    link: Link = Link.SOFTMAX


def fit_scope(
    features: Array,
    answers: Answers,
    names: Array,
    temperature: float,
    held_out: Array,
    outside: Array | None = None,
    unseen: Array | None = None,
) -> ScopeModel:
    """Fit the scope model: the views are standardised by the samples' leave-one-out values.

    Args:
        features: (n, dim), features of the samples as the head takes them, of unit length.
        answers: answers of the samples. A class without rows is represented by its name.
        names: (classes, dim), features of the class names, of unit length. A row of zeros stands for a class without a name.
        temperature: temperature of the head's logits, > 0.
        held_out: (n, classes), leave-one-out logits of the samples.
        outside: (m, dim), features of out-of-scope rows of unit length, if there are any.
        unseen: (k, 2), `unseen_views` of the first k samples, if the encoder was fine-tuned on them. A sample
            of the fine-tuning is nearer to the other samples than a new text is, even with leave-one-out.
    """
    sums, bank = _sums(features, answers, names), _bank(features, names)
    closest = _closest(bank)  # (bank, kept)
    nearest = min(NEAREST, len(bank) - 1)
    outside = np.empty((0, names.shape[1])) if outside is None else outside

    to_prototypes = features @ unit_rows(sums).T  # (n, classes)
    at, group = answers.members()
    to_prototypes[at, group] = np.sum(features[at] * unit_rows(sums[group] - features[at]), axis=1)
    relative = (cosines - _usual_without(cosines, closest) for cosines in _to_others(bank, len(features)))
    nearness = np.concatenate([np.empty(0), *(_top_mean(block, nearest) for block in relative)])
    certainty = answers.link.certainty(held_out / temperature)
    views = _views(certainty, to_prototypes, nearness, features @ outside.T)
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
        link=answers.link,
    )


def scope_scores(model: ScopeModel, features: Array, logits: Array) -> Array:
    """Return the score of each row, (n,). The lower a score, the less the row is in scope.

    The samples' leave-one-out scores have mean 0.

    Args:
        model: result of `fit_scope`.
        features: (n, dim), as the head takes them, of unit length.
        logits: (n, classes), logits of the head, not yet divided by the temperature.
    """
    blocks = (features[at : at + BLOCK] @ model.bank.T - model.usual for at in range(0, len(features), BLOCK))
    nearness = np.concatenate([np.empty(0), *(_top_mean(block, model.nearest) for block in blocks)])
    certainty = model.link.certainty(logits / model.temperature)
    views = _views(certainty, features @ model.prototypes.T, nearness, features @ model.outside.T)
    scores: Array = (views - model.centre) @ model.weight
    return scores


def unseen_views(features: Array, answers: Answers, names: Array, rows: Array) -> Array:
    """Return two of the views, (m, 2), of rows that a fine-tuned encoder has not seen.

    They are the cosine to the nearest prototype and the nearness to the nearest samples.

    Args:
        features, answers, names: samples and class names that the encoder was fine-tuned on, as for `fit_scope`.
        rows: (m, dim), features of the unseen rows, of unit length.
    """
    sums, bank = _sums(features, answers, names), _bank(features, names)
    usual = _closest(bank)[:, :SURROUNDINGS].mean(axis=1)
    nearness = _top_mean(rows @ bank.T - usual, min(NEAREST, len(bank) - 1))
    return np.column_stack([(rows @ unit_rows(sums).T).max(axis=1), nearness])


def coverage_threshold(scores: Array, coverage: float) -> float:
    """Return the threshold that an in-scope row reaches with at least the probability `coverage`.

    With too few samples for the coverage, the threshold is minus infinity, so every row reaches it; see
    `conformal_quantile`.

    Args:
        scores: (n,), leave-one-out scores of the samples.
        coverage: the probability, in 0..1.
    """
    return -conformal_quantile(-scores, coverage)


def false_positive_rate(inside: Array, outside: Array, recall: float = 0.95) -> float:
    """Share of out-of-scope rows that reach the threshold.

    The threshold is the highest that a share `recall` of the in-scope rows still reaches.

    Args:
        inside: (n,), scores of in-scope rows, n >= 1.
        outside: (m,), scores of out-of-scope rows, m >= 1.
        recall: in 0..1.
    """
    below = min(int(len(inside) * (1.0 - recall) + ROUNDING), len(inside) - 1)  # in-scope rows that may miss the threshold
    return float((outside >= np.partition(inside, below)[below]).mean())


def area_under_roc(inside: Array, outside: Array) -> float:
    """Probability that an in-scope row scores higher than an out-of-scope one; a tie counts half."""
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    # Mann-Whitney statistic: the sum of the in-scope rows' ranks, minus the sum of their ranks among themselves
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def _sums(features: Array, answers: Answers, names: Array) -> Array:
    """Return the class name, if there is one, plus the sum of the rows of each group, (groups, dim)."""
    sums = np.zeros((answers.groups, features.shape[1]))
    sums[: len(names)] = names
    at, group = answers.members()
    np.add.at(sums, group, features[at])
    return sums


def _bank(features: Array, names: Array) -> Array:
    """Return the samples and the class names, (bank, dim), without the zeros that stand for a class without a name."""
    return np.vstack([features, names[names.any(axis=1)]])


def _views(certainty: Array, to_prototypes: Array, nearness: Array, to_outside: Array) -> Array:
    """Return the views of each row, (n, 3), or (n, 4) if there are out-of-scope rows.

    Args:
        certainty: (n,), negative entropy of the answer in nats.
        to_prototypes: (n, classes), cosines to the prototypes.
        nearness: (n,), nearness to the nearest shots.
        to_outside: (n, rows), cosines to the out-of-scope rows.
    """
    views = [certainty, to_prototypes.max(axis=1), nearness]
    if to_outside.shape[1]:
        views.append(-to_outside.max(axis=1))
    return np.column_stack(views)


def _standardisation(views: Array) -> tuple[Array, Array]:
    """Return the mean and 1 / standard deviation of each view, (views,) each. If there are no rows, return zeros and ones."""
    if len(views) == 0:
        return np.zeros(views.shape[1]), np.ones(views.shape[1])
    spread = views.std(axis=0)
    return views.mean(axis=0), 1.0 / np.where(spread > SMALLEST_SPREAD, spread, 1.0)


def _to_others(bank: Array, rows: int) -> Iterator[Array]:
    """Yield cosines of the first `rows` bank rows to all bank rows, (block, bank); minus infinity from a row to itself."""
    for at in range(0, rows, BLOCK):
        cosines = bank[at : min(at + BLOCK, rows)] @ bank.T
        cosines[np.arange(len(cosines)), np.arange(at, at + len(cosines))] = -np.inf
        yield cosines


def _closest(bank: Array) -> Array:
    """Return cosines of each bank row to its SURROUNDINGS + 1 nearest other rows, highest first, (bank, kept)."""
    kept = min(SURROUNDINGS + 1, len(bank) - 1)
    return np.vstack(
        [-np.sort(np.partition(-cosines, kept - 1, axis=1)[:, :kept], axis=1) for cosines in _to_others(bank, len(bank))]
    )


def _usual_without(cosines: Array, closest: Array) -> Array:
    """Return the usual cosine around each bank row, (block, bank), as if the block's i-th row were not in the bank.

    Args:
        cosines: (block, bank), cosines of the block's rows to the bank.
        closest: (bank, kept), result of `_closest` for the bank.
    """
    kept = closest.shape[1] - 1
    if kept == 0:  # the bank has only two rows, so without row i the remaining row has no neighbour
        return np.zeros_like(cosines)
    # if row i is among the nearest rows, the next nearest row replaces it
    among_nearest = cosines >= closest[:, kept - 1] - ROUNDING
    without: Array = np.where(among_nearest, (closest.sum(axis=1) - cosines) / kept, closest[:, :kept].mean(axis=1))
    return without


def _top_mean(values: Array, count: int) -> Array:
    """Return the mean of the `count` largest values in each row, (n,)."""
    top: Array = np.partition(values, -count, axis=1)[:, -count:].mean(axis=1)
    return top
