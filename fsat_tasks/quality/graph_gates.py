"""Gates on the exported graph: agreement with the model, size and speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.opponent_gates import allowed_loss
from fsat_tasks.quality.wording import MEGABYTES, MILLISECONDS, PERCENT, SMALL_POINTS, TEXTS_A_SECOND, plural
from fsat_tasks.tasks.spec import GateSpec

if TYPE_CHECKING:
    from fsat_tasks.numerics.evidence.paired import Paired

__all__ = ["latency_gates", "parity_gates", "size_gate", "variant_gates"]


def parity_gates(parity: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Decide whether an exported graph gives the same answers as the model from which it was made.

    Args:
        parity: figures from `parity_of`.
    """
    rows = plural(parity["rows"], "row")
    return [
        GateDecision.at_most(
            "onnx_parity",
            parity["max_difference"],
            bounds.max_parity_error,
            SMALL_POINTS,
            lambda figure: f"Probabilities of the exported model differ from the original's by up to {figure} on {rows}",
            "largest difference of a probability",
        ),
        *_agreement_gates(parity, "the exported model", "the original", ("onnx_labels", 1.0), ("onnx_scope", 0.99)),
    ]


def variant_gates(parity: Mapping[str, Any], right: Paired, bounds: GateSpec) -> list[GateDecision]:
    """Compare a smaller variant of the graph with the graph in 32-bit floats (fp32).

    The variant may be served if all gates promote.

    Args:
        parity: figures from `parity_of`.
        right: comparison of the right answers of variant and fp32 graph, row by row, on the rows with a label.
        bounds: bounds of the gates.
    """
    rows = plural(parity["rows"], "row")
    promote = right.worse_p >= bounds.significance
    counts = f"{right.gained:,} gained, {right.lost:,} lost"
    reason = f"No worse than the fp32 model on labelled rows ({counts})."
    if not promote:
        reason = f"Worse than the fp32 model on labelled rows ({counts}). {allowed_loss(right.gained, bounds.significance)}"
    sign = ">=" if promote else "<"
    p_value = f"p {right.worse_p:.4g} {sign} {bounds.significance:.4g}"
    test = f"McNemar's exact test, one-sided (is the variant worse?): {p_value}; {counts}"
    return [
        GateDecision.at_most(
            "difference",
            parity["max_difference"],
            bounds.max_variant_error,
            SMALL_POINTS,
            lambda figure: f"Probabilities differ from the fp32 model's by up to {figure} on {rows}",
            "largest difference of a probability",
        ),
        *_agreement_gates(parity, "it", "the fp32 model", ("labels", bounds.min_variant_agreement), ("scope", 0.98)),
        GateDecision("accuracy", promote, reason, right.worse_p, bounds.significance, test),
    ]


def _agreement_gates(
    parity: Mapping[str, Any], this: str, other: str, labels: tuple[str, float], scope: tuple[str, float]
) -> list[GateDecision]:
    """Decide by the share of rows that both models give the same label, and by a second share of rows.

    The second is the share of rows that both models place on the same side of the scope threshold.

    Args:
        parity: figures from `parity_of`.
        this, other: the two models, in words.
        labels, scope: name and bound of the gate on labels, and of the gate on the scope threshold.
    """
    rows = plural(parity["rows"], "row")
    return [
        GateDecision.at_least(
            labels[0],
            parity["label_agreement"],
            labels[1],
            PERCENT,
            lambda figure: f"On {_share(figure, rows)} {this} gives the same label as {other}",
            "share of rows with the same label",
        ),
        GateDecision.at_least(
            scope[0],
            parity["scope_agreement"],
            scope[1],
            PERCENT,
            lambda figure: f"On {_share(figure, rows)} {this} agrees with {other} on whether a text belongs to the task",
            "share of rows on the same side of the scope threshold",
        ),
    ]


def _share(figure: str, rows: str) -> str:
    return f"all {rows}" if figure == "100 %" else f"{figure} of {rows}"


def size_gate(size: int, bounds: GateSpec) -> GateDecision:
    """Decide by the size of the served graph in bytes."""
    figure = size / 1e6
    return GateDecision.at_most(
        "size", figure, bounds.max_megabytes, MEGABYTES, lambda shown: f"The model file has {shown}", "megabytes"
    )


def latency_gates(latency: Mapping[str, float], bounds: GateSpec) -> list[GateDecision]:
    """Decide by the time that the served graph takes on this machine.

    Args:
        latency: figures from `measure_latency`.
    """
    return [
        GateDecision.at_most(
            "latency",
            latency["p95_ms"],
            bounds.max_latency_ms,
            MILLISECONDS,
            lambda figure: f"95 of 100 single texts take {figure} or less",
            "95th percentile of a text's milliseconds",
        ),
        GateDecision.at_least(
            "throughput",
            latency["rows_per_second"],
            bounds.min_rows_per_second,
            TEXTS_A_SECOND,
            lambda figure: f"In batches the model answers {figure}",
            "texts a second",
        ),
    ]
