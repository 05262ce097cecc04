"""Axes with round ticks that hold their values, and the figures of the two curves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.report.plots import axis_over, calibration_plot, coverage_plot, share_axis

figures = st.lists(st.floats(-1, 1), min_size=1, max_size=20)


@given(figures)
def test_an_axis_holds_all_its_values(values: list[float]) -> None:
    axis = axis_over(values)
    assert axis.low < axis.high
    assert axis.low <= min(values) + 1e-9
    assert axis.high >= max(values) - 1e-9
    assert 2 <= len(axis.ticks) <= 7
    assert all(5.0 <= axis.percent(value) <= 95.0 for value in values)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_an_axis_of_shares_stays_within_0_and_1(values: list[float]) -> None:
    axis = share_axis(values)
    assert 0.0 <= axis.low < axis.high <= 1.0
    assert axis.ticks[-1] <= axis.high


def test_ticks_are_round() -> None:
    assert axis_over([0.612, 0.697]).ticks == pytest.approx((0.6, 0.625, 0.65, 0.675, 0.7))
    assert axis_over([0.0, -0.013, 0.094]).ticks == pytest.approx((-0.05, 0.0, 0.05, 0.1))


def test_a_bin_has_the_interval_of_its_accuracy() -> None:
    plot = calibration_plot([{"confidence": 0.8, "accuracy": 0.75, "rows": 4}, {"confidence": 0.95, "accuracy": 1.0, "rows": 96}])
    few, many = plot["points"]
    assert (few["low"], few["high"]) == pytest.approx((0.301, 0.954), abs=1e-3)  # Wilson, 3 of 4
    assert many["high"] == pytest.approx(1.0)
    assert many["radius"] > few["radius"]


def test_coverage_is_told_at_round_shares() -> None:
    curve = [(i / 1000, 1.0 - 0.2 * i / 1000) for i in range(1, 1001)]
    plot = coverage_plot(curve)
    table = {row["coverage"]: row["accuracy"] for row in plot["table"]}
    assert table == pytest.approx({1.0: 0.8, 0.9: 0.82, 0.8: 0.84, 0.7: 0.86, 0.6: 0.88, 0.5: 0.9})
    assert plot["path"].count("L") <= 201  # drawn with no more points than can be seen
    assert plot["path"].startswith("M46.")


def test_a_curve_of_one_point_has_a_plot() -> None:
    assert coverage_plot([(1.0, 1.0)])["table"][-1] == {"coverage": 0.5, "accuracy": 1.0}
