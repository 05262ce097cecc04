"""Answers with several labels: search, refits, evidence and folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Probe, Setting
from fsat_tasks.numerics.heads.several_labels import SeveralLabels, SigmoidSetting

Array = NDArray[np.float64]
Matrix = NDArray[np.int64]
seeds = st.integers(0, 2**32 - 1)
CLASSES = 8


def draw(rows: int, seed: int, layers: int = 1, dim: int = 24) -> tuple[Array, Matrix, Array]:
    """Draw features (rows, layers, dim) that mix the vectors of one or two labels, the labels, and class names. Only the
    last layer tells the labels apart."""
    vectors = np.random.default_rng(0).normal(size=(CLASSES, layers, dim))
    vectors[:, :-1] = 0.0
    rng = np.random.default_rng(seed)
    matrix = np.zeros((rows, CLASSES), np.int64)
    matrix[np.arange(rows), rng.permutation(rows) % CLASSES] = 1
    matrix[np.arange(rows), rng.integers(0, CLASSES, rows)] = 1
    features = np.einsum("nc,cld->nld", matrix, vectors) + 0.8 * rng.normal(size=(rows, layers, dim))
    return features, matrix, vectors + 0.5 * np.random.default_rng(1).normal(size=vectors.shape)


def setting_of(probe: Probe) -> SigmoidSetting:
    assert isinstance(probe.chosen, SigmoidSetting)
    return probe.chosen


def test_micro_f1_on_new_rows_is_above_that_of_scikit_learns_one_vs_rest() -> None:
    features, matrix, names = draw(32, 1)
    query, truth, _ = draw(500, 2)
    probe = SeveralLabels(matrix).search(features, names)
    mine = probe.head.logits(mix_layers(query, 1)) >= 0.0
    rows = mix_layers(features, 1)
    peers = [LogisticRegression().fit(rows, column).predict(mix_layers(query, 1)) for column in matrix.T]
    assert f1_score(truth, mine, average="micro") > f1_score(truth, np.stack(peers, axis=1), average="micro") + 0.05


def test_last_layer_is_chosen_if_it_alone_tells_the_labels_apart() -> None:
    features, matrix, names = draw(48, 1, layers=4)
    assert SeveralLabels(matrix).search(features, names).chosen.layers == 1


def test_more_layers_are_chosen_if_the_last_one_is_noise() -> None:
    features, matrix, names = draw(64, 1, layers=2)
    # zeros stand for the embeddings, which come before the first block
    rows, anchors = (np.concatenate([0.0 * each[:, :1], each[:, ::-1]], axis=1) for each in (features, names))
    assert SeveralLabels(matrix).search(rows, anchors).chosen.layers > 1


def test_leave_one_out_logits_are_near_those_of_refits_with_the_same_setting() -> None:
    features, matrix, names = draw(40, 1)
    answers = SeveralLabels(matrix)
    probe = answers.search(features, names)
    rows, anchors = mix_layers(features, 1), mix_layers(names, 1)
    refits = np.empty(matrix.shape)
    for i in range(40):
        kept = np.arange(40) != i
        refits[i] = answers.at(kept).fit(rows[kept], anchors, probe.chosen).logits(rows[i : i + 1])[0]
    temperature = setting_of(probe).temperature
    seen = probe.head.logits(rows) / temperature
    found = probe.held_out / temperature
    assert np.abs(found - refits).mean() < 0.15 * np.abs(seen - refits).mean()


def test_fit_with_the_chosen_setting_is_the_probe_divided_by_its_temperature() -> None:
    features, matrix, names = draw(24, 1, layers=3)
    answers = SeveralLabels(matrix)
    probe = answers.search(features, names)
    rows, anchors = (mix_layers(each, probe.chosen.layers) for each in (features, names))
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(rows.shape[1],) * 2))[0]
    wanted = probe.head.logits(rows) / setting_of(probe).temperature
    assert answers.fit(rows, anchors, probe.chosen).logits(rows) == pytest.approx(wanted, abs=1e-6)
    turned = answers.fit(rows @ rotation, anchors @ rotation, probe.chosen)
    assert turned.logits(rows @ rotation) == pytest.approx(wanted, abs=0.02)


def test_refit_on_the_same_rows_gives_the_same_probe() -> None:
    features, matrix, names = draw(24, 1, layers=2)
    answers = SeveralLabels(matrix)
    probe = answers.search(features, names)
    again = answers.refit(features, names, probe.chosen)
    assert again.chosen == probe.chosen
    assert again.held_out == pytest.approx(probe.held_out)


def test_evidence_of_the_setting_is_that_of_its_held_out_logits() -> None:
    features, matrix, names = draw(24, 1)
    answers = SeveralLabels(matrix)
    probe = answers.search(features, names)
    held_out = answers.judge(probe.held_out)
    assert held_out.temperature == pytest.approx(setting_of(probe).temperature, rel=0.01)
    assert held_out.log_loss == pytest.approx(setting_of(probe).log_loss, rel=0.01)


def test_classes_without_names_or_rows_have_finite_logits() -> None:
    features, matrix, names = draw(16, 1)
    matrix[:, 3] = 0
    names[[2, 3]] = 0.0
    probe = SeveralLabels(matrix).search(features, names)
    logits = probe.head.logits(mix_layers(features, 1))
    assert np.isfinite(logits).all()
    assert np.isfinite(probe.held_out).all()
    assert expit(logits[:, 3]).max() < 0.2


def test_judge_sums_the_losses_of_scikit_learn_over_the_classes() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.random((30, 4)) < 0.4).astype(np.int64)
    logits = 3.0 * (matrix - 0.4) + rng.normal(size=matrix.shape)
    held_out = SeveralLabels(matrix).judge(logits)
    probabilities = expit(logits / held_out.temperature)
    for row, stated, loss in zip(matrix, probabilities, held_out.losses, strict=True):
        assert loss == pytest.approx(4.0 * log_loss(row, stated, labels=[0, 1]))
    assert held_out.right.tolist() == [bool(((p >= 0.5) == row).all()) for p, row in zip(probabilities, matrix, strict=True)]


def test_members_shares_and_targets_state_the_labels() -> None:
    matrix = np.array([[1, 0, 1], [0, 1, 0]])
    answers = SeveralLabels(matrix)
    assert [each.tolist() for each in answers.members()] == [[0, 0, 1], [0, 2, 1]]
    assert answers.shares().tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    assert answers.targets().tolist() == matrix.tolist()
    assert (answers.groups, len(answers), len(answers.at(np.array([True, False])))) == (3, 2, 1)


def test_setting_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a SigmoidSetting, got Setting"):
        SeveralLabels(np.eye(2, dtype=np.int64)).fit(np.eye(2), np.eye(2), Setting(1))


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 5), seeds)
def test_rarest_label_is_spread_over_the_folds_as_evenly_as_possible(rows: int, classes: int, count: int, seed: int) -> None:
    matrix = (np.random.default_rng(seed).random((rows, classes)) < 0.3).astype(np.int64)
    folds = SeveralLabels(matrix).folds(count)
    assert folds.shape == (rows,)
    assert ((folds >= 0) & (folds < count)).all()
    rarest = matrix[:, [int(np.where(matrix.any(axis=0), matrix.sum(axis=0), rows + 1).argmin())]].sum(axis=1)
    spread = np.bincount(folds[rarest > 0], minlength=count)
    assert spread.max() - spread.min() <= 1  # the rarest label is spread first


def test_folds_spread_labels_of_pairs_as_evenly_as_possible() -> None:
    _, matrix, _ = draw(80, 3)
    folds = SeveralLabels(matrix).folds(4)
    parts = np.stack([matrix[folds == k].sum(axis=0) for k in range(4)])  # (folds, classes)
    assert np.abs(parts - matrix.sum(axis=0) / 4).max() < 2.0
    assert np.ptp(np.bincount(folds)) <= 3
