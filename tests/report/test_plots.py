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
    plot = calibration_plot(
        [{"confidence": 0.8, "accuracy": 0.75, "rows": 40}, {"confidence": 0.95, "accuracy": 1.0, "rows": 96}]
    )
    few, many = plot["points"]
    assert (few["low"], few["high"]) == pytest.approx((0.598, 0.858), abs=1e-3)  # Wilson, 30 of 40
    assert many["high"] == pytest.approx(1.0)
    assert many["radius"] > few["radius"]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 30)), min_size=1, max_size=12))
def test_no_dot_stands_for_few_rows_and_no_row_is_lost(bins: list[tuple[float, int]]) -> None:
    made = [{"confidence": at, "accuracy": round(at * rows) / rows, "rows": float(rows)} for at, rows in bins]
    points, rows = calibration_plot(made)["points"], sum(rows for _, rows in bins)
    assert sum(point["rows"] for point in points) == rows
    assert all(point["rows"] >= 10 for point in points) or (len(points) == 1 and rows < 10)
    for name in ("confidence", "accuracy"):
        means = [sum(one[name] * one["rows"] for one in some) / rows for some in (made, points)]
        assert means[0] == pytest.approx(means[1])
    assert [point["confidence"] for point in points] == sorted(point["confidence"] for point in points)


def test_coverage_is_told_at_round_shares() -> None:
    curve = [(i / 1000, 1.0 - 0.2 * i / 1000) for i in range(1, 1001)]
    plot = coverage_plot(curve, 1000)
    table = {row["coverage"]: row["accuracy"] for row in plot["table"]}
    assert table == pytest.approx({1.0: 0.8, 0.9: 0.82, 0.8: 0.84, 0.7: 0.86, 0.6: 0.88, 0.5: 0.9})
    assert [(row["rows"], row["wrong"]) for row in plot["table"][:2]] == [(1000, 200), (900, 162)]
    assert plot["path"].count("L") <= 201  # drawn with no more points than can be seen
    assert plot["path"].startswith("M46.")


def test_few_wrong_rows_are_no_cliff() -> None:
    curve = [(i / 60, 1.0 if i < 58 else 57 / i) for i in range(1, 61)]
    assert coverage_plot(curve, 60)["frame"].y.low <= 0.8
    many = [(i / 6000, 1.0 if i < 5800 else 5700 / i) for i in range(1, 6001)]
    assert coverage_plot(many, 6000)["frame"].y.low >= 0.9  # many rows leave less open


def test_a_curve_of_one_point_has_a_plot() -> None:
    assert coverage_plot([(1.0, 1.0)], 1)["table"][-1] == {"coverage": 0.5, "accuracy": 1.0, "rows": 1, "wrong": 0}
