"""Gates: promote or hold, at the bound and beyond it, with a reason that has the figure and the bound."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.numerics.evidence.paired import Paired
from fsat_tasks.quality.comparison import beside
from fsat_tasks.quality.gates import (
    GateDecision,
    champion_gates,
    decisions_from_json,
    latency_gates,
    parity_gates,
    quality_gates,
    size_gate,
    variant_gates,
)
from fsat_tasks.tasks.spec import GateSpec

METRICS: dict[str, Any] = {
    "rows": 420,
    "evidence": "query",
    "accuracy": 0.7,
    "macro_f1": 0.6,
    "min_class_recall": 0.2,
    "weakest_class": "refund",
    "ece": 0.13,
    "ece_by_chance": 0.03,
    "coverage": 0.75,
    "oos_auroc": 0.6,
    "baseline": {"rows": 420, "accuracy": 0.7, "gained": 10, "lost": 20, "worse_p": 0.05},
    "robustness": {"kinds": [{"kind": "case", "drop": 0.2, "drop_low": 0.15}, {"kind": "typos", "drop": 0.1, "drop_low": -0.1}]},
    "slices": [
        {"column": "channel", "value": "mail", "accuracy": 0.3, "accuracy_high": 0.4},
        {"column": "channel", "value": "chat", "accuracy": 0.9, "accuracy_high": 1.0},
    ],
}
CHAMPION: dict[str, Any] = {
    "version": 3,
    "rows": 300,
    "accuracy": 0.8,
    "gained": 20,
    "lost": 8,
    "p": 0.05,
    "worse_p": 0.99,
    "missing": [],
}
figures = st.floats(0, 1)


@given(figures, figures)
def test_a_gate_promotes_up_to_its_bound_and_holds_beyond(figure: float, bound: float) -> None:
    assert GateDecision.at_least("g", figure, bound, "").promote == (figure >= bound)
    assert GateDecision.at_most("g", figure, bound, "").promote == (figure <= bound)


def test_a_figure_at_the_bound_promotes() -> None:
    assert GateDecision.at_least("g", 0.7, 0.7, "").promote
    assert GateDecision.at_most("g", 0.1, 0.1, "").promote


def test_a_figure_that_is_no_number_holds() -> None:
    assert not GateDecision.at_least("g", float("nan"), 0.5, "").promote
    assert not GateDecision.at_most("g", float("nan"), 0.5, "").promote


def test_reason_says_what_was_measured_the_figure_and_the_bound() -> None:
    assert GateDecision.at_least("g", 0.65, 0.7, "accuracy:").reason == "accuracy: 0.65 < 0.7"
    assert GateDecision.at_least("g", 0.7, 0.7, "accuracy:").reason == "accuracy: 0.7 >= 0.7"
    assert GateDecision.at_most("g", 0.2, 0.1, "error:").reason == "error: 0.2 > 0.1"


def test_metrics_at_all_bounds_promote() -> None:
    assert all(gate.promote for gate in quality_gates(METRICS, GateSpec()))


@pytest.mark.parametrize(
    ("metric", "worse", "gate"),
    [
        ("accuracy", 0.69, "accuracy"),
        ("macro_f1", 0.59, "macro_f1"),
        ("min_class_recall", 0.1, "class_recall"),
        ("ece", 0.14, "ece"),
        ("coverage", 0.74, "coverage"),
        ("oos_auroc", 0.59, "out_of_scope"),
        ("baseline", METRICS["baseline"] | {"worse_p": 0.049}, "baseline"),
        ("robustness", {"kinds": [{"kind": "typos", "drop": 0.3, "drop_low": 0.16}]}, "robustness"),
        ("slices", [METRICS["slices"][0] | {"accuracy_high": 0.39}], "slices"),
    ],
)
def test_each_metric_holds_by_its_own_gate(metric: str, worse: Any, gate: str) -> None:
    gates = quality_gates({**METRICS, metric: worse}, GateSpec())
    held = [decision for decision in gates if not decision.promote]
    assert [decision.gate for decision in held] == [gate]
    if isinstance(worse, float):
        figure = worse - METRICS["ece_by_chance"] if metric == "ece" else worse
        assert held[0].figure == pytest.approx(figure)
    assert f"{held[0].figure:.4g}" in held[0].reason


def test_a_calibration_error_that_is_chance_promotes() -> None:
    metrics = {**METRICS, "rows": 40, "ece": 0.15, "ece_by_chance": 0.16}
    assert all(gate.promote for gate in quality_gates(metrics, GateSpec()))


def test_reasons_name_the_rows_and_the_weakest_class() -> None:
    reasons = {gate.gate: gate.reason for gate in quality_gates(METRICS, GateSpec())}
    assert "420 query rows" in reasons["accuracy"]
    assert "'refund'" in reasons["class_recall"]
    left_out = quality_gates({**METRICS, "evidence": "leave_one_out"}, GateSpec())
    assert "420 left-out samples" in left_out[0].reason


@pytest.mark.parametrize(
    ("difference", "labels", "scope", "held"),
    [
        (1e-4, 1.0, 1.0, []),
        (2e-4, 1.0, 0.99, ["onnx_parity"]),
        (0, 0.99, 1.0, ["onnx_labels"]),
        (0, 1.0, 0.98, ["onnx_scope"]),
    ],
)
def test_onnx_must_agree_with_torch(difference: float, labels: float, scope: float, held: list[str]) -> None:
    parity = {"rows": 10, "max_difference": difference, "label_agreement": labels, "scope_agreement": scope}
    assert [gate.gate for gate in parity_gates(parity, GateSpec()) if not gate.promote] == held


def test_task_without_out_of_scope_rows_slices_or_query_rows_has_no_such_gates() -> None:
    metrics = {name: value for name, value in METRICS.items() if name not in ("oos_auroc", "robustness", "slices")}
    assert not {"out_of_scope", "robustness", "slices"} & {gate.gate for gate in quality_gates(metrics, GateSpec())}


def test_challenger_must_be_better_than_chance_would_have_it() -> None:
    (gate,) = champion_gates(0.84, CHAMPION, GateSpec())
    assert gate.promote
    assert gate.reason == (
        "0.840 against 0.800 of version 3 on the same 300 rows (20 gained, 8 lost); better by chance: p 0.05 <= 0.05"
    )
    assert not champion_gates(0.84, {**CHAMPION, "p": 0.051}, GateSpec())[0].promote


def test_challenger_must_gain_as_much_as_the_task_asks() -> None:
    gates = champion_gates(0.84, CHAMPION, GateSpec(min_gain=0.05))
    assert [(gate.gate, gate.promote) for gate in gates] == [("champion", True), ("gain", False)]


def test_champion_that_does_not_know_a_class_gives_way_to_what_is_no_worse() -> None:
    champion = {**CHAMPION, "p": 0.4, "missing": ["refund"]}
    (gate,) = champion_gates(0.8, champion, GateSpec())
    assert gate.promote
    assert "does not know 'refund'" in gate.reason
    assert not champion_gates(0.8, {**champion, "worse_p": 0.01}, GateSpec())[0].promote


@pytest.mark.parametrize(
    ("difference", "labels", "lost", "held"),
    [(0.05, 0.99, 4, []), (0.06, 1.0, 0, ["difference"]), (0, 0.98, 0, ["labels"]), (0, 1.0, 5, ["accuracy"])],
)
def test_variant_is_served_only_where_it_answers_as_fp32_does(
    difference: float, labels: float, lost: int, held: list[str]
) -> None:
    parity = {"rows": 10, "max_difference": difference, "label_agreement": labels, "scope_agreement": 1.0}
    right = Paired(0, lost, 1.0, 0.5**lost)
    assert [gate.gate for gate in variant_gates(parity, right, GateSpec()) if not gate.promote] == held


def test_size_and_time_have_their_bounds() -> None:
    bounds = GateSpec(max_megabytes=10, max_latency_ms=20, min_rows_per_second=30)
    assert [size_gate(size, bounds).promote for size in (10_000_000, 10_000_001)] == [True, False]
    for latency, held in (
        ({"p95_ms": 20.0, "rows_per_second": 30.0}, []),
        ({"p95_ms": 20.1, "rows_per_second": 30.0}, ["latency"]),
        ({"p95_ms": 20.0, "rows_per_second": 29.9}, ["throughput"]),
    ):
        assert [gate.gate for gate in latency_gates(latency, bounds) if not gate.promote] == held


def test_figures_beside_an_older_model_are_of_the_same_rows() -> None:
    new, old = np.array([True] * 9 + [False]), np.array([True] * 6 + [False] * 3 + [True])
    found = beside(new, old, seed=0)
    assert (found["rows"], found["accuracy"], found["gained"], found["lost"]) == (10, 0.7, 3, 1)
    assert found["p"] == pytest.approx(5 / 16)
    assert found["accuracy_low"] < 0.7 < found["accuracy_high"]


def test_decisions_come_back_from_json() -> None:
    gates = quality_gates(METRICS, GateSpec())
    assert decisions_from_json(json.loads(json.dumps([gate.to_json() for gate in gates]))) == gates
