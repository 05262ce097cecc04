"""Decision of a gate: promote the model or hold it back, with a sentence for people and the statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fsat_tasks.quality.wording import Unit

if TYPE_CHECKING:
    from fsat_tasks.store import Artefact

__all__ = ["TITLES", "GateDecision", "all_gates", "decisions_from_json"]

TITLES = {
    "data": "data checks",
    "accuracy": "accuracy",
    "micro_f1": "all labels together",
    "macro_f1": "every class alike",
    "class_recall": "weakest class",
    "error": "mean error",
    "intervals": "intervals",
    "ece": "stated probabilities",
    "baseline": "frozen baseline",
    "coverage": "texts of the task",
    "out_of_scope": "texts from outside",
    "robustness": "other spelling",
    "slices": "weakest slice",
    "champion": "champion",
    "target": "kind of answer",
    "gain": "gain over the champion",
    "onnx_parity": "export: probabilities",
    "onnx_labels": "export: labels",
    "onnx_scope": "export: scope",
    "size": "size",
    "latency": "time for a text",
    "throughput": "texts a second",
}
"""Gate -> the gate's heading on pages."""


@dataclass(frozen=True)
class GateDecision:
    """The decision of one gate, and its reason."""

    gate: str
    promote: bool
    reason: str
    """A sentence for people. If the gate holds the model back, the sentence says what is missing."""
    figure: float
    bound: float
    detail: str = ""
    """The statistics in one line: figure and bound, p-value, interval, counts. It is empty in decisions of older versions."""

    @classmethod
    def at_least(
        cls, gate: str, figure: float, bound: float, unit: Unit, says: Callable[[str], str], what: str, more: str = ""
    ) -> GateDecision:
        """Promote if the figure reaches the bound.

        Args:
            gate: name of the gate.
            figure: the figure to judge.
            bound: smallest figure that promotes.
            unit: unit in which the sentence shows the figure and the bound.
            says: function that takes the figure in words and returns the beginning of the sentence. The verdict follows it.
            what: name of the statistic, for `detail`.
            more: further statistics, which are appended to `detail`.
        """
        promote = figure >= bound
        if not promote:
            verdict = f", {unit.apart(figure, bound)} short of the {unit.limit(bound)} required"
        elif figure == bound:
            verdict = ", as required"
        else:
            verdict = f", above the {unit.limit(bound)} required" if bound > 0 else ""
        reason = f"{says(unit.show(figure, bound))}{verdict}."
        return cls(gate, promote, reason, figure, bound, f"{what} {figure:.4g} {'>=' if promote else '<'} {bound:.4g}{more}")

    @classmethod
    def at_most(
        cls, gate: str, figure: float, bound: float, unit: Unit, says: Callable[[str], str], what: str, more: str = ""
    ) -> GateDecision:
        """Promote if the figure is at most the bound. The arguments are those of `at_least`."""
        promote = figure <= bound
        limit = f"the {unit.limit(bound)} allowed"
        verdict = f", within {limit}" if promote else f", {unit.apart(figure, bound)} over {limit}"
        reason = f"{says(unit.show(figure, bound))}{verdict}."
        return cls(gate, promote, reason, figure, bound, f"{what} {figure:.4g} {'<=' if promote else '>'} {bound:.4g}{more}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def decisions_from_json(values: Iterable[Mapping[str, Any]]) -> list[GateDecision]:
    return [GateDecision(**value) for value in values]


def all_gates(published: Artefact) -> list[GateDecision]:
    """Return all gates of a published decision: first those on figures, then those on the timings that were measured here."""
    return decisions_from_json(published.json("decision.json")["gates"] + published.json("timings.json")["gates"])
