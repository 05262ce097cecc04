"""Heads on features that were tuned fold by fold: a fold's labels play no part in its own evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.numerics.evidence.held_out import stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.folds import FoldHead, FoldView, best_fold_head, depths, probe_folds, teach_folds
from fsat_tasks.numerics.heads.frozen import Candidate, fit_setting
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import FOLDS

LABELS = np.repeat(np.arange(3), 6)
SETTING = Candidate(2, 1.0, 0.03, 0.2, 1.0, 1.0, 1.0, 0.0, 0.0, 0)


def views(seed: int = 0) -> list[FoldView]:
    """Draw other features for each fold, as other encoders give them."""
    found = []
    for fold in range(FOLDS):
        rng = np.random.default_rng([seed, fold])
        centres = rng.normal(size=(3, 3, 8))
        parts = (centres[labels] + rng.normal(size=(len(labels), 3, 8)) for labels in (LABELS, np.arange(3), LABELS.repeat(3)))
        found.append(FoldView(*parts))
    return found


def logits_of(head: FoldHead) -> NDArray[np.float64]:
    raw: NDArray[np.float64] = head.held_out.logits * head.held_out.temperature
    return raw


def test_each_sample_is_answered_by_the_probe_of_its_fold() -> None:
    found, fold = probe_folds(views(), OneLabel(LABELS, 3), SETTING), stratified_folds(LABELS, FOLDS)
    for k, view in enumerate(views()):
        rows, names = mix_layers(view.shots, 2), mix_layers(view.names, 2)
        head = fit_setting(rows[fold != k], LABELS[fold != k], names, SETTING)
        np.testing.assert_allclose(logits_of(found)[fold == k], head.logits(rows[fold == k]))


@pytest.mark.parametrize("share", range(len(OneLabel.memory_shares)))
def test_labels_of_a_fold_do_not_reach_its_own_answers(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels of fold 0 are changed: its evidence stays, and so do its teacher's soft labels."""
    fold = stratified_folds(LABELS, FOLDS)
    turned = np.where(fold == 0, (LABELS + 1) % 3, LABELS)
    monkeypatch.setattr(OneLabel, "folds", lambda *_: fold)
    plain, other = (teach_folds(views(), OneLabel(labels, 3), SETTING)[share] for labels in (LABELS, turned))
    np.testing.assert_allclose(logits_of(plain)[fold == 0], logits_of(other)[fold == 0], atol=1e-9)
    np.testing.assert_array_equal(plain.soft_labels[0], other.soft_labels[0])
    assert not np.allclose(logits_of(plain)[fold == 1], logits_of(other)[fold == 1])
    probes = [logits_of(probe_folds(views(), OneLabel(labels, 3), SETTING)) for labels in (LABELS, turned)]
    np.testing.assert_allclose(probes[0][fold == 0], probes[1][fold == 0], atol=1e-9)


def test_the_best_head_is_the_one_of_least_log_loss() -> None:
    tried = teach_folds(views(), OneLabel(LABELS, 3), SETTING)
    best, head = best_fold_head(tried, OneLabel(LABELS, 3))
    assert tried[best].held_out.log_loss == min(one.held_out.log_loss for one in tried)
    assert (head.share, head.setting) == (tried[best].share, tried[best].setting)


@pytest.mark.parametrize(("layers", "setting", "expected"), [(7, 3, [1, 3, 4]), (7, 1, [1, 4]), (3, 2, [1, 2]), (1, 1, [1])])
def test_depths_are_those_that_the_encoder_has(layers: int, setting: int, expected: list[int]) -> None:
    at = replace(SETTING, layers=setting)
    assert [candidate.layers for candidate in depths(at, layers)] == expected
