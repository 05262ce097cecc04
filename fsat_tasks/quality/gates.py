"""Gates: pure functions from figures to a decision, promote or hold, with the reason, the figure and the bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fsat_tasks.tasks.spec import GateSpec

if TYPE_CHECKING:
    from fsat_tasks.numerics.evidence.paired import Paired
    from fsat_tasks.store import Artefact

__all__ = [
    "GateDecision",
    "all_gates",
    "champion_gates",
    "data_gate",
    "decisions_from_json",
    "latency_gates",
    "parity_gates",
    "quality_gates",
    "size_gate",
    "variant_gates",
]


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


def all_gates(published: Artefact) -> list[GateDecision]:
    """What every gate said of a published decision: those on figures, and those on the machine's timings."""
    return decisions_from_json(published.json("decision.json")["gates"] + published.json("timings.json")["gates"])


def data_gate(warnings: int, bounds: GateSpec) -> GateDecision:
    """Gate on what the data checks found."""
    return GateDecision.at_most("data", warnings, bounds.max_warnings, "warnings of the data checks:")


def quality_gates(metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Gates on what `evaluate` measured."""
    on = f"on {metrics['rows']} {'query rows' if metrics['evidence'] == 'query' else 'left-out samples'}"
    baseline = metrics["baseline"]
    gates = [
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
        GateDecision.at_least(
            "baseline",
            baseline["worse_p"],
            bounds.significance,
            f"no worse than the frozen baseline's {baseline['accuracy']:.3f} {_exchange(baseline)}: p",
        ),
        GateDecision.at_least(
            "coverage", metrics["coverage"], bounds.min_coverage, "share of its own rows that pass as in scope:"
        ),
    ]
    if "oos_auroc" in metrics:
        gates.append(
            GateDecision.at_least("out_of_scope", metrics["oos_auroc"], bounds.min_oos_auroc, "AUROC of out-of-scope rows:")
        )
    if "robustness" in metrics:
        worst = max(metrics["robustness"]["kinds"], key=lambda kind: kind["drop"])
        what = f"accuracy lost by {worst['kind']}, {worst['drop']:.3f}, surely at least:"
        gates.append(GateDecision.at_most("robustness", max(worst["drop_low"], 0.0), bounds.max_drop, what))
    if "slices" in metrics:
        weakest = min(metrics["slices"], key=lambda part: part["accuracy_high"])
        what = f"accuracy where {weakest['column']} is {weakest['value']!r}, {weakest['accuracy']:.3f}, perhaps up to:"
        gates.append(GateDecision.at_least("slices", weakest["accuracy_high"], bounds.min_slice_accuracy, what))
    return gates


def champion_gates(accuracy: float, champion: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Gates on a challenger beside the champion, on the same rows.

    A model that is no better replaces the champion with a chance of `significance` at most; where the champion does not
    know all classes, it is enough not to be worse.

    Args:
        champion: as `beside` gives it, with its `version` and its `missing` classes.
    """
    on = f"{accuracy:.3f} against {champion['accuracy']:.3f} of version {champion['version']} {_exchange(champion)}"
    if champion["missing"]:
        names = ", ".join(map(repr, champion["missing"][:3])) + (" …" if len(champion["missing"]) > 3 else "")
        what = f"{on}, which does not know {names}; no worse: p"
        return [GateDecision.at_least("champion", champion["worse_p"], bounds.significance, what)]
    gates = [GateDecision.at_most("champion", champion["p"], bounds.significance, f"{on}; better by chance: p")]
    if bounds.min_gain > 0:
        gain = accuracy - champion["accuracy"]
        gates.append(GateDecision.at_least("gain", gain, bounds.min_gain, "accuracy beyond the champion's:"))
    return gates


def _exchange(older: Mapping[str, Any]) -> str:
    return f"on the same {older['rows']} rows ({older['gained']} gained, {older['lost']} lost)"


def parity_gates(parity: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
    """Gates on how well the ONNX graph agrees with torch."""
    what = f"largest difference of a probability on {parity['rows']} rows:"
    return [
        GateDecision.at_most("onnx_parity", parity["max_difference"], bounds.max_parity_error, what),
        GateDecision.at_least("onnx_labels", parity["label_agreement"], 1.0, "same label on a share of rows:"),
        GateDecision.at_least("onnx_scope", parity["scope_agreement"], 0.99, "same side of the scope bound, share of rows:"),
    ]


def variant_gates(parity: Mapping[str, Any], right: Paired, bounds: GateSpec) -> list[GateDecision]:
    """Gates on a smaller variant of the graph beside the one in fp32; it is served where they all promote.

    Args:
        right: the variant beside the fp32 graph, by the rows with a label.
    """
    what = f"largest difference of a probability on {parity['rows']} rows:"
    lost = f"no worse on rows with a label ({right.gained} gained, {right.lost} lost): p"
    return [
        GateDecision.at_most("difference", parity["max_difference"], bounds.max_variant_error, what),
        GateDecision.at_least(
            "labels", parity["label_agreement"], bounds.min_variant_agreement, "same label on a share of rows:"
        ),
        GateDecision.at_least("scope", parity["scope_agreement"], 0.98, "same side of the scope bound, share of rows:"),
        GateDecision.at_least("accuracy", right.worse_p, bounds.significance, lost),
    ]


def size_gate(size: int, bounds: GateSpec) -> GateDecision:
    """Gate on the served graph's bytes."""
    return GateDecision.at_most("size", size / 1e6, bounds.max_megabytes, "MB of the served graph:")


def latency_gates(latency: Mapping[str, float], bounds: GateSpec) -> list[GateDecision]:
    """Gates on the time that the served graph takes on this machine."""
    return [
        GateDecision.at_most("latency", latency["p95_ms"], bounds.max_latency_ms, "ms for a single text, 95 % of the time:"),
        GateDecision.at_least("throughput", latency["rows_per_second"], bounds.min_rows_per_second, "texts a second in a batch:"),
    ]
