"""Numbers: ridge regression against its references, exact leave-one-out errors, and targets for fine-tuning."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import norm

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.numbers import Numbers, NumberSetting, fit_ridge

Array = NDArray[np.float64]

DIM = 12
NO_NAMES = np.zeros((0, 3, DIM))


def layered(signal: tuple[float, ...], n: int, seed: int) -> tuple[Array, Array]:
    """Draw features, (n, layers, dim), whose layers hold a number to different degrees, and the numbers."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n)
    axes = np.random.default_rng(0).normal(size=(len(signal), DIM))
    rows = [s * values[:, None] * axis + rng.normal(size=(n, DIM)) for s, axis in zip(signal, axes, strict=True)]
    return np.stack(rows, axis=1), 50.0 + 10.0 * values


def some_values() -> st.SearchStrategy[Array]:
    return hnp.arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e6, 1e6))


@pytest.mark.parametrize("n, dim", [(30, 5), (10, 40)])
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_head_is_that_of_a_reference(n: int, dim: int, ridge: float) -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    rows, values = rng.normal(size=(n, dim)), rng.normal(size=n) + 7.0
    head, _ = fit_ridge(rows, values, ridge)
    reference = Ridge(alpha=ridge, solver="cholesky").fit(rows, values)
    np.testing.assert_allclose(head.weight[0], reference.coef_, atol=1e-8)
    np.testing.assert_allclose(head.bias, reference.intercept_, atol=1e-8)


@pytest.mark.parametrize("n, dim", [(30, 5), (10, 40), (2, 3)])
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_leave_one_out_errors_are_those_of_exact_refits(n: int, dim: int, ridge: float) -> None:
    rng = np.random.default_rng(1)
    rows, values = rng.normal(size=(n, dim)), rng.normal(size=n) + 7.0
    _, errors = fit_ridge(rows, values, ridge)
    exact = np.empty(n)
    for i in range(n):
        kept = np.arange(n) != i
        exact[i] = fit_ridge(rows[kept], values[kept], ridge)[0].logits(rows[i : i + 1])[0, 0] - values[i]
    np.testing.assert_allclose(errors, exact, atol=1e-8)


def test_units_of_the_numbers_change_only_the_units_of_the_answer() -> None:
    features, values = layered((0.3, 0.3, 0.5), 40, 2)
    one, other = Numbers(values, 1.0).search(features, NO_NAMES), Numbers(1000.0 * values, 1000.0).search(features, NO_NAMES)
    assert isinstance(one.chosen, NumberSetting) and isinstance(other.chosen, NumberSetting)
    assert (one.chosen.layers, one.chosen.ridge) == (other.chosen.layers, other.chosen.ridge)
    assert other.chosen.temperature == pytest.approx(1000.0 * one.chosen.temperature)
    np.testing.assert_allclose(other.held_out, 1000.0 * one.held_out)


@pytest.mark.parametrize("signal, one", [((0.0, 0.0, 2.0), True), ((0.0, 2.0, 0.1), False)])
def test_deeper_layers_are_taken_only_where_they_help(signal: tuple[float, ...], one: bool) -> None:
    for seed in range(3):
        features, values = layered(signal, 60, seed)
        assert (Numbers(values, 1.0).search(features, NO_NAMES).chosen.layers == 1) == one


def test_search_refit_and_fit_agree_and_the_chosen_ridge_has_the_least_error() -> None:
    features, values = layered((0.3, 0.3, 0.5), 40, 3)
    answers = Numbers(values, 1.0)
    found = answers.search(features, NO_NAMES)
    setting = found.chosen
    assert isinstance(setting, NumberSetting)
    again = answers.refit(features, NO_NAMES, setting)
    assert again.chosen == setting
    np.testing.assert_allclose(again.head.weight, found.head.weight)
    rows = mix_layers(features, setting.layers)
    logits = answers.fit(rows, NO_NAMES[:, 0], setting).logits(rows)
    assert logits.shape == (40, 1)
    np.testing.assert_allclose(logits, found.head.logits(rows))
    for ridge in (0.003, 0.1, 10.0):
        other = answers.refit(features, NO_NAMES, NumberSetting(setting.layers, ridge, 1.0, 0.0))
        assert np.square(other.held_out[:, 0] - values).mean() >= np.square(found.held_out[:, 0] - values).mean()


def test_numbers_are_told_better_than_by_their_mean_and_the_temperature_is_the_error_on_new_rows() -> None:
    features, values = layered((0.3, 0.3, 0.5), 150, 4)
    new, truth = layered((0.3, 0.3, 0.5), 1000, 5)
    probe = Numbers(values, 1.0).search(features, NO_NAMES)
    errors = probe.head.logits(mix_layers(new, probe.chosen.layers))[:, 0] - truth
    assert np.abs(errors).mean() < 0.7 * np.abs(truth - values.mean()).mean()
    assert isinstance(probe.chosen, NumberSetting)
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(probe.chosen.temperature, rel=0.15)


def test_judge_states_gaussian_nats_and_rows_within_the_tolerance() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    logits = np.array([[1.5], [2.0], [2.0], [7.0]])
    judged = Numbers(values, 1.0).judge(logits)
    square = (0.25 + 0.0 + 1.0 + 9.0 + values.var()) / 5
    assert judged.temperature == pytest.approx(np.sqrt(square))
    np.testing.assert_allclose(judged.losses, -norm.logpdf(values, logits[:, 0], np.sqrt(square)))
    assert judged.right.tolist() == [True, True, True, False]
    np.testing.assert_allclose(judged.logits * judged.temperature, logits)


def test_perfect_rows_do_not_give_a_temperature_of_zero() -> None:
    values = np.array([1.0, 2.0, 3.0])
    judged = Numbers(values, 0.1).judge(values[:, None])
    assert judged.temperature > 0.1 and np.isfinite(judged.losses).all() and judged.right.all()


@given(some_values())
def test_shares_sum_to_one_and_give_back_values_between_the_outermost_bins(values: Array) -> None:
    answers = Numbers(values, 1.0)
    at, group = answers.members()
    shares = answers.shares()
    assert 2 <= answers.groups <= 5 and shares.shape == (len(values), answers.groups) and (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    assert (at == np.arange(len(values))).all()
    centres = np.array([values[group == g].mean() for g in range(group.max() + 1)])
    wanted = np.clip(values, centres[0], centres[-1])
    np.testing.assert_allclose(shares[:, : len(centres)] @ centres, wanted, atol=1e-5 * max(float(np.ptp(values)), 1.0))


@given(some_values())
def test_bins_are_in_the_order_of_the_values_and_equal_values_share_a_bin(values: Array) -> None:
    group = Numbers(values, 1.0).members()[1]
    order = np.argsort(values, kind="stable")
    assert (np.diff(group[order]) >= 0).all() and (np.diff(group[order])[np.diff(values[order]) == 0] == 0).all()
    assert len(np.unique(group)) == group.max() + 1
    if np.ptp(values) > 0:
        assert group.max() >= 1


def test_many_different_values_have_five_bins_of_equal_size() -> None:
    answers = Numbers(np.random.default_rng(0).normal(size=100), 1.0)
    assert answers.groups == 5 and (np.bincount(answers.members()[1]) == 20).all()
    assert answers.at(np.arange(8)).groups == 2


@given(some_values(), st.integers(2, 4))
def test_folds_deal_out_the_sorted_rows(values: Array, count: int) -> None:
    fold = Numbers(values, 1.0).folds(count)
    assert (fold[np.argsort(values, kind="stable")] == np.arange(len(values)) % count).all()


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0, 3.0], [0.1] * 7, [1.0, 2.0], [1e9, -1e9, 0.0], [0.0, 1.0, 1.0, 1.0, 1.0]])
@pytest.mark.parametrize("same", [True, False])
def test_constant_few_and_huge_values_and_equal_rows_make_no_warning_and_no_nan(values: list[float], same: bool) -> None:
    features = np.random.default_rng(0).normal(size=(len(values), 3, DIM)) * (0.0 if same else 1.0)
    answers = Numbers(np.array(values), 0.5)
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        probe = answers.search(features, NO_NAMES)
        judged = answers.judge(probe.held_out)
        assert np.isfinite(answers.shares()).all()
    assert np.isfinite(probe.held_out).all() and np.isfinite(probe.head.weight).all() and np.isfinite(judged.losses).all()
    assert judged.temperature > 0
