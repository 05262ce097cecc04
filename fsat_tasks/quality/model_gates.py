"""Gates on the data and on the figures that the step `evaluate` measures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.opponent_gates import baseline_gate
from fsat_tasks.quality.wording import COUNT, PERCENT, POINTS, interval, plural
from fsat_tasks.tasks.spec import GateSpec

__all__ = [
    "accuracy_gate",
    "calibration_gate",
    "class_recall_gate",
    "data_gate",
    "error_ratio_gate",
    "intervals_gate",
    "macro_f1_gate",
    "measured_on",
    "quality_gates",
]

SPELLINGS = {
    "case": "Other capitals cost",
    "typos": "Typos cost",
    "punctuation": "Other punctuation costs",
    "whitespace": "Other spacing costs",
}
"""Kind of change of a text -> beginning of the gate's sentence. Kinds of other modalities have a general sentence."""


def data_gate(warnings: int, bounds: GateSpec) -> GateDecision:
    """Decide by the number of warnings of the data checks."""
    says = f"The data checks gave {plural(warnings, 'warning')}"
    gate = GateDecision.at_most("data", warnings, bounds.max_warnings, COUNT, lambda _: says, "warnings")
    return gate if warnings else replace(gate, reason="The data checks gave no warning.")


def accuracy_gate(metrics: Mapping[str, Any], bounds: GateSpec) -> GateDecision:
    """Decide by the share of rows with the right label. A share that may be due to guessing is called that."""
    gate = GateDecision.at_least(
        "accuracy",
        metrics["accuracy"],
        bounds.min_accuracy,
        PERCENT,
        lambda figure: f"{figure} of {measured_on(metrics)} get the right label",
        "accuracy",
        f"; {interval(metrics, 'accuracy')}",
    )
    guess = metrics.get("guess_accuracy")
    if guess is None or metrics["accuracy_low"] > guess:
        return gate
    verb = "is" if metrics["accuracy"] <= guess else "may be"
    says = f"This {verb} no better than guessing: the most frequent label alone is right for {PERCENT.show(guess)}."
    return replace(gate, reason=f"{gate.reason} {says}")


def macro_f1_gate(metrics: Mapping[str, Any], bounds: GateSpec) -> GateDecision:
    """Decide by the F1 of the classes, with every class counted alike."""
    return GateDecision.at_least(
        "macro_f1",
        metrics["macro_f1"],
        bounds.min_macro_f1,
        PERCENT,
        lambda figure: f"With every class counted alike, the score (macro-F1) is {figure}",
        "macro-F1",
    )


def class_recall_gate(metrics: Mapping[str, Any], bounds: GateSpec) -> GateDecision:
    """Decide by the class of which the smallest share of rows is found."""
    return GateDecision.at_least(
        "class_recall",
        metrics["min_class_recall"],
        bounds.min_class_recall,
        PERCENT,
        lambda figure: f"The weakest class, {metrics['weakest_class']!r}, is found in {figure} of its rows",
        "least recall of a class",
    )


def error_ratio_gate(metrics: Mapping[str, Any], bounds: GateSpec, unit: str, constant: str) -> GateDecision:
    """Decide by the mean absolute error, as a share of the error of a constant answer.

    Args:
        metrics: content of metrics.json.
        bounds: bounds of the gates.
        unit: unit of the error, in words.
        constant: the constant answer, in words.
    """
    mae, other = metrics["mae"], metrics["constant_mae"]
    error = f"{mae:.3g}{' ' if unit else ''}{unit}"
    return GateDecision.at_most(
        "error",
        mae / other if other > 0.0 else float(mae > 0.0),
        bounds.max_error_ratio,
        PERCENT,
        lambda figure: f"On {measured_on(metrics)} the answers are off by {error} on average, {figure} of what {constant} is off",
        "ratio of the mean absolute errors",
        f"; mean absolute error {mae:.4g} ({interval(metrics, 'mae')}), that of {constant} {other:.4g}",
    )


def intervals_gate(metrics: Mapping[str, Any], stated: float, bounds: GateSpec) -> GateDecision:
    """Decide by the share of intervals that have the true number, at the upper end of its 95 % interval.

    Args:
        metrics: content of metrics.json.
        stated: share of intervals that should have it.
        bounds: bounds of the gates. The share may be less than stated by `max_ece`.
    """
    return GateDecision.at_least(
        "intervals",
        metrics["interval_coverage_high"],
        stated - bounds.max_ece,
        PERCENT,
        lambda figure: (
            f"{PERCENT.show(metrics['interval_coverage'])} of the {PERCENT.limit(stated)} intervals have the true number, "
            f"or as many as {figure} when chance is set aside"
        ),
        "highest share of intervals with the true number",
        f"; share {metrics['interval_coverage']:.4g}, {interval(metrics, 'interval_coverage')}",
    )


def measured_on(metrics: Mapping[str, Any]) -> str:
    """Return the rows that figures were measured on, in words."""
    return f"the {metrics['rows']:,} {'query rows' if metrics['evidence'] == 'query' else 'left-out samples'}"


def quality_gates(metrics: Mapping[str, Any], own: Iterable[GateDecision], bounds: GateSpec) -> list[GateDecision]:
    """Decide by the figures that the step `evaluate` has measured.

    Args:
        metrics: content of metrics.json. The gates on out-of-scope rows, robustness and slices are left out if their
            figures are missing.
        own: gates of the task's target, which come first.
        bounds: bounds of the gates.
    """
    gates = [
        *own,
        baseline_gate(metrics, bounds),
        GateDecision.at_least(
            "coverage",
            metrics["coverage"],
            bounds.min_coverage,
            PERCENT,
            lambda figure: f"{figure} of the task's own texts are recognised as such",
            "share of rows in scope",
        ),
    ]
    if "oos_auroc" in metrics:
        gates.append(
            GateDecision.at_least(
                "out_of_scope",
                metrics["oos_auroc"],
                bounds.min_oos_auroc,
                PERCENT,
                lambda figure: f"A text of the task and one from outside are told apart in {figure} of pairs (guessing: 50 %)",
                "AUROC of the scope score",
                f"; share of the texts from outside that are refused {metrics['oos_refused']:.4g}",
            )
        )
    if "robustness" in metrics:
        gates.append(_robustness_gate(metrics["robustness"], bounds.max_drop))
    if "slices" in metrics:
        gates.append(_slices_gate(metrics["slices"], bounds.min_slice_accuracy))
    return gates


def calibration_gate(metrics: Mapping[str, Any], bounds: GateSpec) -> GateDecision:
    """Decide by how far the stated probabilities are off, beyond what chance explains."""
    ece, chance = metrics["ece"], metrics["ece_by_chance"]
    excess = max(ece - chance, 0.0)
    off = f"Stated probabilities are off by {POINTS.show(ece)} on average"
    gate = GateDecision.at_most(
        "ece",
        excess,
        bounds.max_ece,
        POINTS,
        lambda figure: f"{off}, beyond chance by {figure}",
        "calibration error beyond chance",
        f"; expected calibration error {ece:.4g}, that of a perfectly calibrated model {chance:.4g}",
    )
    return gate if excess else replace(gate, reason=f"{off}, no more than chance explains.")


def _robustness_gate(robustness: Mapping[str, Any], bound: float) -> GateDecision:
    """Hold the model back if the costliest kind of change loses more than the bound, at the lower end of its 95 % interval."""
    worst = max(robustness["kinds"], key=lambda kind: kind["drop"])
    drop, low = worst["drop"], max(worst["drop_low"], 0.0)
    promote, limit = low <= bound, f"the {POINTS.limit(bound)} allowed"
    rows = f"on {plural(robustness['rows'], 'row')}"
    cause = SPELLINGS.get(worst["kind"], f"Changes of the kind {worst['kind']!r} cost")
    costs = f"{cause} {POINTS.show(drop, bound)} of accuracy {rows}"
    if not promote:
        least = f"at least {POINTS.show(low, bound)} when chance is set aside"
        reason = f"{costs}, {least}, {POINTS.apart(low, bound)} over {limit}."
    elif drop > bound:
        reason = f"{costs}. That is over {limit}, but not beyond chance: it may be as little as {POINTS.show(low)}."
    elif drop > 0:
        reason = f"{costs}, within {limit}."
    elif worst["kind"] in SPELLINGS:
        reason = f"Other capitals, typos, punctuation and spacing cost no accuracy {rows}."
    else:
        reason = f"Changes that keep the meaning of a row cost no accuracy {rows}."
    detail = f"least drop by {worst['kind']} {low:.4g} {'<=' if promote else '>'} {bound:.4g}; "
    detail += f"drop {drop:.4g}, {interval(worst, 'drop')}"
    return GateDecision("robustness", promote, reason, low, bound, detail)


def _slices_gate(slices: Iterable[Mapping[str, Any]], bound: float) -> GateDecision:
    """Hold the model back if a slice's accuracy is below the bound even at the upper end of its 95 % interval."""
    weakest = min(slices, key=lambda part: part["accuracy_high"])
    accuracy, high = weakest["accuracy"], weakest["accuracy_high"]
    promote, limit = high >= bound, f"the {PERCENT.limit(bound)} required"
    where = f"Where {weakest['column']} is {weakest['value']!r}"
    right = f"{where}, {PERCENT.show(accuracy, bound)} of {plural(weakest['rows'], 'row')} get the right label"
    if not promote:
        most = f"at most {PERCENT.show(high, bound)} when chance is set aside"
        reason = f"{right}, {most}, {PERCENT.apart(high, bound)} short of {limit}."
    elif accuracy < bound:
        reason = f"{right}. That is short of {limit}, but not beyond chance: it may be as much as {PERCENT.show(high)}."
    else:
        reason = f"{right}, {'above' if accuracy > bound else 'just'} {limit}."
    detail = f"highest accuracy of the slice {high:.4g} {'>=' if promote else '<'} {bound:.4g}; "
    detail += f"accuracy {accuracy:.4g}, {interval(weakest, 'accuracy')}"
    return GateDecision("slices", promote, reason, high, bound, detail)
