"""Heads on encoders that were fine-tuned fold by fold, each judged on the samples that its encoder has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fsat_tasks.numerics.evidence.held_out import HeldOut, best_of
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import find_directions
from fsat_tasks.numerics.heads.answers import Answers, Setting, Teachable
from fsat_tasks.numerics.heads.pool_taught import FOLDS, fit_heads, judge_shares, prepare
from fsat_tasks.numerics.heads.scope import unseen_views
from fsat_tasks.numerics.types import Array, Features
from fsat_tasks.runtime.parallel import side_by_side

__all__ = ["FoldHead", "FoldView", "best_fold_head", "depths", "probe_folds", "teach_folds"]


DEPTHS = (1, 4)
"""Numbers of last layers to try on a tuned encoder. The number that the head on the pretrained encoder uses is also tried."""


@dataclass(frozen=True)
class FoldView:
    """Features, (rows, layers, dim) each, from one fold's encoder, which has not seen the samples of this fold."""

    shots: Features
    """All samples, including those of the fold."""
    names: Features
    """Class names."""
    pool: Features
    """Unlabelled rows."""


@dataclass(frozen=True)
class FoldHead:
    """A head's settings, and its evidence on the samples."""

    setting: Setting
    held_out: HeldOut
    """Predictions for each sample, from the encoder and the head that have not seen the sample's fold."""
    share: float = 0.0
    """Weight of the memory of pool rows; 0 without a memory."""
    soft_labels: tuple[Array, ...] = ()
    """Soft labels that each fold's teacher gives to the pool rows, (pool, classes) (see `pool_taught`). Empty for a head that
    does not learn from a pool."""

    def unseen(self, views: Sequence[FoldView], answers: Answers) -> Array:
        """Return two inputs of the scope score for each sample, (n, 2), from the encoder that has not seen the sample.

        The inputs are the results of `scope.unseen_views`.

        Args:
            views: features of each fold's encoder.
            answers: answers of the samples.
        """
        fold, found = answers.folds(FOLDS), np.empty((len(answers), 2))
        for k, view in enumerate(views):
            rows, names = (mix_layers(part, self.setting.layers) for part in (view.shots, view.names))
            found[fold == k] = unseen_views(rows[fold != k], answers.at(fold != k), names, rows[fold == k])
        return found


def depths(setting: Setting, layers: int) -> list[Setting]:
    """Return copies of the setting, one for each number of last layers to try.

    Args:
        setting: setting of the head on the pretrained encoder.
        layers: number of the encoder's layers, embeddings included.
    """
    return [replace(setting, layers=depth) for depth in sorted({min(d, max(layers - 1, 1)) for d in (*DEPTHS, setting.layers)})]


def probe_folds(views: Sequence[FoldView], answers: Answers, setting: Setting) -> FoldHead:
    """Judge the probe, which uses no pool. For each fold, it is fitted on the samples of the other folds.

    Args:
        views: features of each fold's encoder.
        answers: answers of the samples.
        setting: setting of the head.
    """
    fold = answers.folds(FOLDS)

    def fit(k: int) -> Array:
        rows, names = (mix_layers(part, setting.layers) for part in (views[k].shots, views[k].names))
        return answers.at(fold != k).fit(rows[fold != k], names, setting).logits(rows[fold == k])

    found = side_by_side(fit, FOLDS)
    logits = np.empty((len(answers), found[0].shape[1]))
    for k, part in enumerate(found):
        logits[fold == k] = part
    return FoldHead(setting, answers.judge(logits))


def best_fold_head(tried: Sequence[FoldHead], answers: Answers) -> tuple[int, FoldHead]:
    """Return the index of the best head, and this head with its evidence. The evidence has no selection bias (see `best_of`)."""
    best, held_out = best_of([head.held_out for head in tried], answers.folds(FOLDS))
    return best, replace(tried[best], held_out=held_out)


def teach_folds(views: Sequence[FoldView], answers: Teachable, setting: Setting) -> list[FoldHead]:
    """Judge the head that learns from the pool, once for each weight of the memory in `memory_shares`.

    Arguments are those of `probe_folds`.
    """
    fold, shape = answers.folds(FOLDS), (len(answers), answers.groups)
    linear, remembered = np.empty(shape), np.empty(shape)

    def fit(k: int) -> tuple[Array, Array, Array]:
        view = views[k]
        pool = find_directions(view.pool, setting.layers, np.concatenate([view.shots, view.names]))
        heads = fit_heads(prepare(view.shots, answers, view.names, pool, setting), fold != k)
        rows = mix_layers(view.shots[fold == k], setting.layers)
        return heads.student.logits(rows), heads.memory.logits(rows), heads.memory.labels

    fits = side_by_side(fit, FOLDS)
    for k, (student, memory, _) in enumerate(fits):
        linear[fold == k], remembered[fold == k] = student, memory
    soft_labels = tuple(soft for _, _, soft in fits)
    judged = zip(answers.memory_shares, judge_shares(linear, remembered, answers), strict=True)
    return [FoldHead(setting, held_out, share, soft_labels) for share, held_out in judged]
