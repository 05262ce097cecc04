"""Grades: the search, decisions, temperature and targets of ordered classes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.special import expit

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.cumulative import grade_losses
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.grades import (
    Grades,
    GradeSetting,
    decide_grades,
    expected_grades,
    fit_grade_temperature,
)
from fsat_tasks.numerics.heads.links import Link

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

GRADES, DIM = 5, 16
NO_NAMES = np.zeros((GRADES, 3, DIM))


def layered(signal: tuple[float, ...], shots: int, seed: int) -> tuple[Array, Labels]:
    """Draw features, (n, layers, dim), whose layers hold the grade to different degrees, and the grades."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(GRADES), shots)
    axes = np.random.default_rng(0).normal(size=(len(signal), DIM)) / np.sqrt(DIM)
    place = labels - (GRADES - 1) / 2
    rows = [s * place[:, None] * axis + rng.normal(size=(len(labels), DIM)) for s, axis in zip(signal, axes, strict=True)]
    return np.stack(rows, axis=1), labels


def chances() -> st.SearchStrategy[Array]:
    return hnp.arrays(np.float64, (6, GRADES), elements=st.floats(0.01, 1.0)).map(lambda p: p / p.sum(axis=1, keepdims=True))


def test_graded_rows_are_told_nearer_to_the_truth_than_by_classes_without_order() -> None:
    near, far = [], []
    for seed in range(4):
        features, labels = layered((0.5, 0.5, 1.0), 8, seed)
        new, truth = layered((0.5, 0.5, 1.0), 100, seed + 50)
        probe = Grades(labels, GRADES).search(features, NO_NAMES)
        p = Link.CUMULATIVE.outputs(probe.head.logits(mix_layers(new, probe.chosen.layers)))
        near.append(np.abs(decide_grades(p) - truth).mean())
        plain = fit_frozen_head(features, labels, NO_NAMES)
        q = Link.SOFTMAX.outputs(plain.head.logits(mix_layers(new, plain.chosen.layers)) / plain.chosen.temperature)
        far.append(np.abs(expected_grades(q) - truth).mean())
    assert np.mean(near) < 0.95 * np.mean(far)


@pytest.mark.parametrize("signal, one", [((0.0, 0.0, 2.0), True), ((0.0, 2.0, 0.2), False)])
def test_deeper_layers_are_taken_only_where_they_help(signal: tuple[float, ...], one: bool) -> None:
    for seed in range(3):
        features, labels = layered(signal, 12, seed)
        assert (Grades(labels, GRADES).search(features, NO_NAMES).chosen.layers == 1) == one


def test_the_chosen_setting_has_the_least_loss_of_its_neighbours() -> None:
    features, labels = layered((0.5, 0.5, 1.0), 8, 1)
    answers = Grades(labels, GRADES)
    chosen = answers.search(features, NO_NAMES).chosen
    assert isinstance(chosen, GradeSetting)
    for ridge in (0.01, 0.03, 0.1, 0.3, 1.0):
        other = answers.refit(features, NO_NAMES, GradeSetting(chosen.layers, chosen.prior, ridge, 1.0, 0.0)).chosen
        assert isinstance(other, GradeSetting) and other.log_loss >= chosen.log_loss


def test_refit_with_the_chosen_setting_is_the_search_s_result() -> None:
    features, labels = layered((0.5, 0.5, 1.0), 8, 2)
    names = np.random.default_rng(0).normal(size=NO_NAMES.shape)
    answers = Grades(labels, GRADES)
    found = answers.search(features, names)
    again = answers.refit(features, names, found.chosen)
    assert again.chosen == found.chosen
    np.testing.assert_allclose(again.head.weight, found.head.weight)


def test_fit_is_the_head_divided_by_the_temperature_and_a_rotation_changes_no_logit() -> None:
    features, labels = layered((0.5, 0.5, 1.0), 8, 3)
    names = np.random.default_rng(0).normal(size=NO_NAMES.shape)
    answers = Grades(labels, GRADES)
    probe = answers.search(features, names)
    setting = probe.chosen
    assert isinstance(setting, GradeSetting)
    rows, anchors = (mix_layers(part, setting.layers) for part in (features, names))
    calibrated = answers.fit(rows, anchors, setting).logits(rows)
    np.testing.assert_allclose(calibrated, probe.head.logits(rows) / setting.temperature, atol=1e-6)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(rows.shape[1], rows.shape[1])))[0]
    np.testing.assert_allclose(answers.fit(rows @ turn, anchors @ turn, setting).logits(rows @ turn), calibrated, atol=1e-6)


def test_held_out_logits_are_those_of_heads_without_the_row() -> None:
    features, labels = layered((0.5, 0.5, 1.0), 6, 4)
    answers = Grades(labels, GRADES)
    setting = GradeSetting(2, 1.0, 0.3, 1.0, 0.0)
    held_out = answers.refit(features, NO_NAMES, setting).held_out
    exact = np.empty_like(held_out)
    rows, anchors = mix_layers(features, 2), mix_layers(NO_NAMES, 2)
    for i in range(len(labels)):
        kept = np.arange(len(labels)) != i
        exact[i] = answers.at(kept).fit(rows[kept], anchors, setting).logits(rows[i : i + 1])[0]
    np.testing.assert_allclose(held_out, exact, atol=0.1)


def test_all_rows_of_weight_are_one_direction() -> None:
    features, labels = layered((0.5, 0.5, 1.0), 4, 5)
    head = Grades(labels, GRADES).search(features, NO_NAMES).head
    assert head.weight.shape[0] == GRADES - 1
    assert (head.weight == head.weight[0]).all() and (np.diff(head.bias) < 0).all()


def test_names_pull_and_names_of_zeros_do_not() -> None:
    features, labels = layered((0.0, 0.0, 0.3), 2, 6)
    _, _, axis = np.random.default_rng(0).normal(size=(3, DIM))
    names = np.zeros(NO_NAMES.shape)
    names[:, 2] = (np.arange(GRADES) - 2.0)[:, None] * axis
    answers, setting = Grades(labels, GRADES), GradeSetting(1, 4.0, 0.1, 1.0, 0.0)
    new, truth = layered((0.0, 0.0, 0.3), 60, 7)

    def error(anchors: Array) -> float:
        logits = answers.refit(features, anchors, setting).head.logits(mix_layers(new, 1))
        return float(np.abs(decide_grades(Link.CUMULATIVE.outputs(logits)) - truth).mean())

    assert error(names) < error(NO_NAMES)
    none = answers.refit(features, NO_NAMES[:0], setting).head
    np.testing.assert_allclose(answers.refit(features, NO_NAMES, setting).head.weight, none.weight)


@given(chances())
def test_the_decided_grade_has_the_least_expected_distance(p: Array) -> None:
    distances = np.abs(np.arange(GRADES)[:, None] - np.arange(GRADES))
    expected = p @ distances
    decided = decide_grades(p)
    np.testing.assert_allclose(expected[np.arange(len(p)), decided], expected.min(axis=1), atol=1e-9)


@given(chances())
def test_the_expected_grade_has_the_least_expected_squared_distance(p: Array) -> None:
    mean = expected_grades(p)

    def squared(at: Array) -> Array:
        return np.asarray((p * np.square(np.arange(GRADES) - at[:, None])).sum(axis=1))

    assert (squared(mean) <= squared(mean + 0.01)).all() and (squared(mean) <= squared(mean - 0.01)).all()


def draw(scale: float, n: int, seed: int) -> tuple[Array, Labels]:
    """Draw cumulative logits and grades that follow them. Then multiply the logits by the scale."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2.0, size=n)[:, None] - np.array([-2.0, -0.5, 0.5, 2.0])
    labels = (rng.random(n)[:, None] < expit(logits)).sum(axis=1)
    return scale * logits, labels


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_many_rows_give_back_the_temperature(scale: float) -> None:
    assert fit_grade_temperature(*draw(scale, 4000, 0)) == pytest.approx(scale, rel=0.06)


def test_few_rows_keep_the_temperature_near_one() -> None:
    logits = np.tile([[3.0, 1.0, -1.0, -3.0]], (GRADES, 1))
    for labels in (np.arange(GRADES), np.full(GRADES, 2)):  # a useless model, and one that is always right
        assert 0.3 < fit_grade_temperature(logits, labels) < 3.0


def test_judge_states_nats_and_exact_grades_at_its_temperature() -> None:
    logits, labels = draw(2.0, 300, 2)
    judged = Grades(labels, GRADES).judge(logits)
    np.testing.assert_allclose(judged.logits, logits / judged.temperature)
    p = Link.CUMULATIVE.outputs(judged.logits)[np.arange(300), labels]
    np.testing.assert_allclose(judged.losses, -np.log(p), rtol=1e-6)
    assert judged.accuracy == pytest.approx(((logits > 0).sum(axis=1) == labels).mean())


@given(hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(0, GRADES - 1)), st.integers(2, 4))
def test_shares_peak_at_the_grade_and_folds_spread_each_grade(labels: Labels, count: int) -> None:
    answers = Grades(labels, GRADES)
    shares = answers.shares()
    assert shares.dtype == np.float32 and (shares.argmax(axis=1) == labels).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    fold = answers.folds(count)
    sizes = np.stack([np.bincount(fold[labels == grade], minlength=count) for grade in range(GRADES)])
    assert (np.ptp(sizes, axis=1) <= 1).all()
    at, group = answers.members()
    assert (at == np.arange(len(answers))).all() and (group == labels).all() and answers.groups == GRADES


def test_equal_rows_missing_grades_and_two_grades_make_no_warning() -> None:
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for labels, grades in ((np.array([0, 4, 4, 0]), 5), (np.array([1, 0, 1, 0]), 2), (np.array([2, 2, 2, 2]), 3)):
            for features in (np.zeros((4, 2, 3)), np.ones((4, 2, 3)), np.eye(4)[:, None, :].repeat(2, axis=1)):
                probe = Grades(labels, grades).search(features, np.zeros((grades, *features.shape[1:])))
                assert np.isfinite(probe.held_out).all() and np.isfinite(probe.head.weight).all()
                assert np.isfinite(grade_losses(probe.held_out, labels)).all()
