"""Gates: promote or hold, at the bound and beyond it, with a sentence that says what is missing and the statistics behind it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.numerics.evidence.paired import Paired
from fsat_tasks.quality import model_gates
from fsat_tasks.quality.comparison import compare_errors
from fsat_tasks.quality.gates import TITLES, GateDecision, decisions_from_json
from fsat_tasks.quality.graph_gates import latency_gates, parity_gates, size_gate, variant_gates
from fsat_tasks.quality.model_gates import accuracy_gate, data_gate
from fsat_tasks.quality.opponent_gates import champion_gates, target_gate
from fsat_tasks.quality.wording import PERCENT, POINTS
from fsat_tasks.targets.number import NumberTarget
from fsat_tasks.targets.one_label import OneLabelTarget
from fsat_tasks.targets.several_labels import SeveralLabelsTarget
from fsat_tasks.tasks.spec import GateSpec

METRICS: dict[str, Any] = {
    "rows": 420,
    "evidence": "query",
    "accuracy": 0.7,
    "accuracy_low": 0.65,
    "accuracy_high": 0.74,
    "macro_f1": 0.6,
    "min_class_recall": 0.2,
    "weakest_class": "refund",
    "ece": 0.13,
    "ece_by_chance": 0.03,
    "coverage": 0.75,
    "oos_auroc": 0.6,
    "oos_refused": 0.3,
    "baseline": {
        "rows": 420,
        "accuracy": 0.72,
        "accuracy_low": 0.68,
        "accuracy_high": 0.76,
        "gained": 10,
        "lost": 20,
        "worse_p": 0.05,
    },
    "robustness": {
        "rows": 200,
        "kinds": [
            {"kind": "case", "drop": 0.2, "drop_low": 0.15, "drop_high": 0.25},
            {"kind": "typos", "drop": 0.1, "drop_low": -0.1, "drop_high": 0.2},
        ],
    },
    "slices": [
        {"column": "channel", "value": "mail", "rows": 20, "accuracy": 0.3, "accuracy_low": 0.2, "accuracy_high": 0.4},
        {"column": "channel", "value": "chat", "rows": 20, "accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 1.0},
    ],
}
CHAMPION: dict[str, Any] = {
    "version": 3,
    "rows": 300,
    "accuracy": 0.8,
    "accuracy_low": 0.75,
    "accuracy_high": 0.84,
    "gained": 20,
    "lost": 8,
    "p": 0.05,
    "worse_p": 0.99,
    "missing": [],
    "new_samples": False,
}
figures = st.floats(0, 1)


def quality_gates(metrics: dict[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Decide on a task with one label a row."""
    return model_gates.quality_gates(metrics, OneLabelTarget().gates(metrics, bounds), bounds)


def at_least(figure: float, bound: float) -> GateDecision:
    return GateDecision.at_least("g", figure, bound, PERCENT, lambda shown: f"{shown} are right", "accuracy")


def at_most(figure: float, bound: float) -> GateDecision:
    return GateDecision.at_most("g", figure, bound, POINTS, lambda shown: f"Typos cost {shown}", "drop")


@given(figures, figures)
def test_a_gate_promotes_up_to_its_bound_and_holds_beyond(figure: float, bound: float) -> None:
    assert at_least(figure, bound).promote == (figure >= bound)
    assert at_most(figure, bound).promote == (figure <= bound)


def test_a_figure_at_the_bound_promotes() -> None:
    assert at_least(0.7, 0.7).promote
    assert at_most(0.1, 0.1).promote


def test_a_figure_that_is_no_number_holds() -> None:
    assert not at_least(float("nan"), 0.5).promote
    assert not at_most(float("nan"), 0.5).promote


def test_reason_says_what_is_missing_and_detail_has_the_exact_figures() -> None:
    assert at_least(0.65, 0.7).reason == "65.0 % are right, 5.0 points short of the 70 % required."
    assert at_least(0.7, 0.7).reason == "70.0 % are right, as required."
    assert at_least(0.7123, 0.7).reason == "71.2 % are right, above the 70 % required."
    assert at_least(0.7, 0.0).reason == "70.0 % are right."
    assert at_most(0.2, 0.15).reason == "Typos cost 20.0 points, 5.0 points over the 15 allowed."
    assert at_most(0.1234, 0.15).reason == "Typos cost 12.3 points, within the 15 allowed."
    assert (at_least(0.7123, 0.7).detail, at_most(0.2, 0.15).detail) == ("accuracy 0.7123 >= 0.7", "drop 0.2 > 0.15")


def test_rounding_never_contradicts_the_verdict() -> None:
    assert at_least(0.69996, 0.7).reason == "69.996 % are right, 0.004 points short of the 70 % required."
    assert at_most(0.15004, 0.15).reason == "Typos cost 15.004 points, 0.004 points over the 15 allowed."
    assert at_least(0.9999, 0.5).reason.startswith("100.0 %")  # not all of them, which is 100 %
    assert at_least(1.0, 0.5).reason.startswith("100 %")


@given(figures, figures)
def test_figure_and_bound_look_the_same_only_if_they_are(figure: float, bound: float) -> None:
    if abs(figure - bound) > 1e-9:
        assert float(PERCENT.show(figure, bound).split()[0]) != float(PERCENT.limit(bound).split()[0])


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
        (
            "robustness",
            {"rows": 200, "kinds": [{"kind": "typos", "drop": 0.3, "drop_low": 0.16, "drop_high": 0.4}]},
            "robustness",
        ),
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
    assert f"{held[0].figure:.4g}" in held[0].detail


def test_a_calibration_error_that_is_chance_promotes() -> None:
    metrics = {**METRICS, "rows": 40, "ece": 0.15, "ece_by_chance": 0.16}
    assert all(gate.promote for gate in quality_gates(metrics, GateSpec()))


def test_reasons_name_the_rows_and_the_weakest_class() -> None:
    reasons = {gate.gate: gate.reason for gate in quality_gates(METRICS, GateSpec())}
    assert "420 query rows" in reasons["accuracy"]
    assert "'refund'" in reasons["class_recall"]
    left_out = quality_gates({**METRICS, "evidence": "leave_one_out"}, GateSpec())
    assert "420 left-out samples" in left_out[0].reason


def test_a_figure_beyond_its_bound_by_chance_says_so() -> None:
    reasons = {gate.gate: gate.reason for gate in quality_gates(METRICS, GateSpec())}
    assert reasons["robustness"] == (
        "Other capitals cost 20.0 points of accuracy on 200 rows. That is over the 15 allowed, but not beyond chance: "
        "it may be as little as 15.0 points."
    )
    assert reasons["slices"] == (
        "Where channel is 'mail', 30.0 % of 20 rows get the right label. That is short of the 40 % required, but not beyond "
        "chance: it may be as much as 40.0 %."
    )
    assert reasons["baseline"] == (
        "Behind the frozen baseline, but not beyond chance: 70.0 % against 72.0 % on the same 420 rows (10 rows gained, 20 lost)."
    )


def test_a_gate_that_holds_says_how_much_would_pass() -> None:
    metrics = {**METRICS, "baseline": {**METRICS["baseline"], "gained": 2, "lost": 30, "worse_p": 1e-6}}
    held = next(gate for gate in quality_gates(metrics, GateSpec()) if gate.gate == "baseline")
    assert not held.promote
    assert held.reason.endswith("(2 rows gained, 30 lost). With 2 gained, chance explains at most 8 lost.")
    assert [compare_p(2, lost) >= 0.05 for lost in (8, 9)] == [True, False]
    (held,) = champion_gates(0.84, {**CHAMPION, "gained": 9, "p": 0.5}, GateSpec())
    assert held.reason == (
        "Not better beyond chance than the champion, version 3: 84.0 % against 80.0 % on the same 300 rows (9 rows gained, "
        "8 lost). With 8 lost, 18 gained would be enough."
    )
    assert [compare_p(8, gained) <= 0.05 for gained in (17, 18)] == [False, True]


def compare_p(fewer: int, more: int) -> float:
    """The p-value of so many rows won, against so many lost."""
    won = np.array([True] * more + [False] * fewer)
    return float(compare_errors((~won).astype(float), won.astype(float), 0.0, seed=0)["p"])


def test_no_warning_and_no_error_beyond_chance_have_no_bound_in_their_sentence() -> None:
    assert data_gate(0, GateSpec()).reason == "The data checks gave no warning."
    assert data_gate(1, GateSpec()).reason == "The data checks gave 1 warning, within the 100 allowed."
    gate = next(gate for gate in quality_gates({**METRICS, "ece": 0.02}, GateSpec()) if gate.gate == "ece")
    assert gate.reason == "Stated probabilities are off by 2.0 points on average, no more than chance explains."


def test_every_gate_has_a_title() -> None:
    parity = {"rows": 10, "max_difference": 0.0, "label_agreement": 1.0, "scope_agreement": 1.0}
    gates = [
        data_gate(0, GateSpec()),
        *quality_gates(METRICS, GateSpec()),
        *champion_gates(0.9, CHAMPION, GateSpec(min_gain=0.1)),
    ]
    gates += [*parity_gates(parity, GateSpec()), size_gate(1, GateSpec())]
    gates += latency_gates({"p95_ms": 1.0, "rows_per_second": 9.0}, GateSpec())
    gates += [*SeveralLabelsTarget().gates(METRICS | {"micro_f1": 0.8}, GateSpec()), target_gate("one_label", "grade", CHAMPION)]
    errors = {"mae": 1.0, "mae_low": 0.5, "mae_high": 1.5, "constant_mae": 2.0}
    intervals = {"interval_coverage": 0.9, "interval_coverage_low": 0.8, "interval_coverage_high": 0.95}
    gates += NumberTarget().gates(METRICS | errors | intervals, GateSpec())
    assert {gate.gate for gate in gates} == set(TITLES)
    assert all(gate.reason.endswith(".") and gate.detail for gate in gates)


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
        "Better beyond chance than the champion, version 3: 84.0 % against 80.0 % on the same 300 rows (20 rows gained, 8 lost)."
    )
    assert gate.detail.startswith("McNemar's exact test, one-sided (is the model better?): p 0.05 = 0.05; 20 gained, 8 lost; ")
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
    found = compare_errors((~new).astype(float), (~old).astype(float), 0.0, seed=0)
    assert (found["rows"], found["accuracy"], found["gained"], found["lost"]) == (10, 0.7, 3, 1)
    assert found["p"] == pytest.approx(5 / 16)
    assert found["accuracy_low"] < 0.7 < found["accuracy_high"]


def test_decisions_come_back_from_json() -> None:
    gates = quality_gates(METRICS, GateSpec())
    assert decisions_from_json(json.loads(json.dumps([gate.to_json() for gate in gates]))) == gates


def test_decisions_of_older_versions_have_no_detail() -> None:
    (gate,) = decisions_from_json([{"gate": "size", "promote": True, "reason": "1 <= 2", "figure": 1.0, "bound": 2.0}])
    assert gate.detail == ""


@pytest.mark.parametrize(
    ("accuracy", "low", "verdict"),
    [
        (0.1111, 0.02, " This is no better than guessing: the most frequent label alone is right for 16.7 %."),
        (0.25, 0.1, " This may be no better than guessing: the most frequent label alone is right for 16.7 %."),
        (0.25, 0.2, ""),
    ],
)
def test_accuracy_no_better_than_guessing_is_called_that(accuracy: float, low: float, verdict: str) -> None:
    metrics = {"rows": 18, "evidence": "query", "accuracy": accuracy, "accuracy_low": low, "accuracy_high": 0.5}
    gate = accuracy_gate({**metrics, "guess_accuracy": 1 / 6}, GateSpec())
    assert not gate.promote
    assert gate.reason == accuracy_gate(metrics, GateSpec()).reason + verdict
