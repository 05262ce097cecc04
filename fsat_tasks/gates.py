"""Gates: pure functions from figures to a decision, promote or hold, with the reason, the figure and the bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fsat_tasks.spec import GateSpec

__all__ = ["GateDecision", "decisions_from_json", "parity_gates", "quality_gates"]


@dataclass(frozen=True)
class GateDecision:
    """What one gate says."""

    gate: str
    promote: bool
    reason: str
    figure: float
    bound: float

    @classmethod
    def at_least(cls, gate: str, figure: float, bound: float, what: str) -> GateDecision:
        """Promote if the figure reaches the bound."""
        return cls(gate, figure >= bound, f"{what} {figure:.4g} {'>=' if figure >= bound else '<'} {bound:.4g}", figure, bound)

    @classmethod
    def at_most(cls, gate: str, figure: float, bound: float, what: str) -> GateDecision:
        """Promote if the figure stays within the bound."""
        return cls(gate, figure <= bound, f"{what} {figure:.4g} {'<=' if figure <= bound else '>'} {bound:.4g}", figure, bound)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def decisions_from_json(values: Iterable[Mapping[str, Any]]) -> list[GateDecision]:
    return [GateDecision(**value) for value in values]


def quality_gates(metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Gates on what `evaluate` measured."""
    on = f"on {metrics['rows']} {'query rows' if metrics['evidence'] == 'query' else 'left-out samples'}"
    return [
        GateDecision.at_least("accuracy", metrics["accuracy"], bounds.min_accuracy, f"accuracy {on}:"),
        GateDecision.at_least("macro_f1", metrics["macro_f1"], bounds.min_macro_f1, f"macro-F1 {on}:"),
        GateDecision.at_least(
            "class_recall", metrics["min_class_recall"], bounds.min_class_recall, f"recall of {metrics['weakest_class']!r}:"
        ),
        GateDecision.at_most(
            "ece",
            max(metrics["ece"] - metrics["ece_by_chance"], 0.0),
            bounds.max_ece,
            f"calibration error {on}, {metrics['ece']:.3f}, less the {metrics['ece_by_chance']:.3f} that is chance:",
        ),
    ]


def parity_gates(parity: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Gates on how well the ONNX graph agrees with torch."""
    what = f"largest difference of a probability on {parity['rows']} rows:"
    return [
        GateDecision.at_most("onnx_parity", parity["max_difference"], bounds.max_parity_error, what),
        GateDecision.at_least("onnx_labels", parity["label_agreement"], 1.0, "same label on a share of rows:"),
        GateDecision.at_least("onnx_scope", parity["scope_agreement"], 0.99, "same side of the scope bound, share of rows:"),
    ]
