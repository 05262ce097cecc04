"""Intervals of numbers: their coverage on new rows, and the mean as the baseline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fsat_tasks.numerics.evidence.intervals import errors_of_the_mean, half_widths, share_within


def test_exchangeable_errors_are_within_the_half_width_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    coverages = (0.5, 0.8, 0.9)
    shares = [share_within(rng.normal(size=200), half_widths(rng.normal(size=39), coverages)) for _ in range(300)]
    np.testing.assert_allclose(np.mean(shares, axis=0), coverages, atol=0.015)  # 39 + 1 rows make the ranks exact


def test_half_widths_rise_with_the_coverage_and_are_infinite_with_too_few_rows() -> None:
    widths = half_widths(np.array([-3.0, 1.0, 2.0]), (0.25, 0.5, 0.75, 0.9))
    assert widths.tolist() == [1.0, 2.0, 3.0, np.inf]
    assert share_within(np.array([-2.0, 2.5, 4.0, 0.0]), widths).tolist() == [0.25, 0.5, 0.75, 1.0]


@given(hnp.arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e3, 1e3)))
def test_errors_of_the_mean_are_those_of_the_mean_of_the_others(values: np.ndarray) -> None:
    others = [np.delete(values, i).mean() for i in range(len(values))]
    np.testing.assert_allclose(errors_of_the_mean(values), np.abs(values - others), atol=1e-9)


def test_one_value_has_no_error() -> None:
    assert errors_of_the_mean(np.array([4.0])) == pytest.approx([0.0])
