"""The gist of each section in a few words, which stand beside its heading, so that a folded section still says what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fsat_tasks.quality.wording import PERCENT, POINTS, plural

__all__ = ["gists"]

Gist = Callable[[Any, Mapping[str, Any]], str]
"""Function that returns the gist from the section's content and from metrics.json."""


def gists(sections: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return section -> its gist, for the sections that have content. The gist is empty if there is nothing to say."""
    return {name: GISTS[name](content, metrics) if name in GISTS else "" for name, content in sections.items() if content}


def _gates(gates: list[dict[str, Any]], _: Mapping[str, Any]) -> str:
    held = sum(not gate["promote"] for gate in gates)
    return f"{held} held, {len(gates) - held} passed" if held else f"{len(gates)} passed"


def _weakest_class(classes: list[dict[str, Any]], _: Mapping[str, Any]) -> str:
    return f"weakest: {classes[0]['label']}, F1 {PERCENT.show(classes[0]['f1'])}"


def _wrong_rows(_: object, metrics: Mapping[str, Any]) -> str:
    return f"{round((1.0 - metrics['accuracy']) * metrics['rows']):,} of {plural(metrics['rows'], 'row')} wrong"


def _surest_half(selective: dict[str, Any], _: Mapping[str, Any]) -> str:
    return f"the surest half: {PERCENT.show(selective['table'][-1]['accuracy'])} right"


def _last_rung(ladder: list[dict[str, Any]], _: Mapping[str, Any]) -> str:
    return f"taken last: {[rung['name'] for rung in ladder if rung['taken']][-1]}"


def _served(variants: dict[str, Any], _: Mapping[str, Any]) -> str:
    served = next(row for row in variants["rows"] if row["served"])
    return f"{served['name']}, {served['bytes'] / 1e6:.1f} MB"


def _worst_change(robustness: dict[str, Any], _: Mapping[str, Any]) -> str:
    worst = max(robustness["kinds"], key=lambda kind: kind["drop"])
    return f"at most {POINTS.show(max(worst['drop'], 0.0))} lost"


def _weakest_slice(slices: dict[str, Any], _: Mapping[str, Any]) -> str:
    weakest = min(slices["rows"], key=lambda row: row["accuracy"])
    return f"weakest: {weakest['column']} {weakest['value']}, {PERCENT.show(weakest['accuracy'])}"


GISTS: dict[str, Gist] = {
    "suspects": lambda suspects, _: f"{suspects['count']} of {plural(suspects['of'], 'sample')}" if suspects["count"] else "none",
    "accuracy": lambda _, metrics: f"{PERCENT.show(metrics['accuracy'])} right",
    "gates": _gates,
    "numbers": lambda _, metrics: f"off by {metrics['mae']:.3g} on average",
    "intervals": lambda _, metrics: f"{PERCENT.show(metrics['interval_coverage'])} of the 90 % intervals hold",
    "classes": _weakest_class,
    "confusions": _wrong_rows,
    "calibration": lambda _, metrics: f"off by {POINTS.show(metrics['ece'])} on average",
    "selective": _surest_half,
    "ladder": _last_rung,
    "data": lambda data, _: plural(len(data["findings"]), "warning") if data["findings"] else "no warnings",
    "variants": _served,
    "robustness": _worst_change,
    "slices": _weakest_slice,
    "run": lambda run, _: f"{run['total']} of work",
}
"""Section -> function that returns its gist. The other sections have none."""
