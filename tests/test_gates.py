"""Gates: promote or hold, at the bound and beyond it, with a reason that has the figure and the bound."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.gates import GateDecision, decisions_from_json, parity_gates, quality_gates
from fsat_tasks.spec import GateSpec

METRICS: dict[str, Any] = {
    "rows": 420, "evidence": "query", "accuracy": 0.7, "macro_f1": 0.6, "min_class_recall": 0.2, "weakest_class": "refund",
    "ece": 0.13, "ece_by_chance": 0.03,
}  # fmt: skip
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
    ],
)
def test_each_metric_holds_by_its_own_gate(metric: str, worse: float, gate: str) -> None:
    gates = quality_gates({**METRICS, metric: worse}, GateSpec())
    held = [decision for decision in gates if not decision.promote]
    assert [decision.gate for decision in held] == [gate]
    figure = worse - METRICS["ece_by_chance"] if metric == "ece" else worse
    assert held[0].figure == pytest.approx(figure)
    assert f"{figure:.4g}" in held[0].reason


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


def test_decisions_come_back_from_json() -> None:
    gates = quality_gates(METRICS, GateSpec())
    assert decisions_from_json(json.loads(json.dumps([gate.to_json() for gate in gates]))) == gates
