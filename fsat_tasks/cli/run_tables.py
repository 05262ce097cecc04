"""Tables that verbs print. They fit in 80 columns. With `verbose`, they also show the statistics behind each sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fsat_tasks.quality.gates import all_gates
from fsat_tasks.quality.wording import PERCENT, POINTS, plural
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    from fsat_tasks.steps.many_tasks import Outcome

__all__ = [
    "minute",
    "print_decision",
    "print_findings",
    "print_ladder",
    "print_outcome",
    "print_outcomes",
    "terminal",
    "what_was_done",
    "with_detail",
]


def print_decision(
    task: str, published: Artefact, model: Artefact, champion: dict[str, Any] | None, verbose: bool = False
) -> None:
    """Print the gates, the decision, the champion, and the paths of model, report and manifest.

    Gates that the model did not pass come first.
    """
    console = terminal()
    gates = sorted(all_gates(published), key=lambda gate: gate.promote)
    table = Table("gate", "decision", "reason", title=f"{task}: gates", title_justify="left")
    for gate in gates:
        reason = with_detail(gate.reason, gate.detail if verbose else "")
        table.add_row(gate.gate, "[green]passed[/]" if gate.promote else "[red]held[/]", reason)
    console.print(table)
    held = ", ".join(gate.gate for gate in gates if not gate.promote)
    if published.json("decision.json")["promote"]:
        console.print("decision: [bold green]promote[/]: all gates passed")
    else:
        console.print(f"decision: [bold red]hold[/]: the model did not pass {held}")
    if champion is None:
        console.print("champion: none yet")
    else:
        this = champion["model"]["digest"] == model.digest
        console.print(f"champion: version {champion['version']}, {'this model' if this else 'which is not this model'}")
    for name, path in (
        ("model", model.path / model.json("config.json")["served"]),
        ("report", published.path / "report.html"),
        ("manifest", model.path / "manifest.json"),
    ):
        console.print(f"{name + ':':<10}{path}", markup=False)


def print_ladder(tuned: Artefact, verbose: bool = False) -> None:
    """Print each rung of the ladder: whether it was taken and why, and its accuracy on held-out samples."""
    table = Table("rung", "taken", "accuracy", "why", title="the ladder", title_justify="left")
    seconds = tuned.manifest["notes"]["rung_seconds"]
    for rung in tuned.json("ladder.json"):
        accuracy, detail = "", ""
        if rung["log_loss"] is not None:
            accuracy = PERCENT.show(rung["accuracy"])
            change = f"; change: {rung['detail']}" if rung.get("detail") else ""
            detail = f"log-loss {rung['log_loss']:.3f}, {seconds[rung['name']]:.1f} s{change}" if verbose else ""
        table.add_row(rung["name"], "[green]yes[/]" if rung["taken"] else "no", accuracy, with_detail(rung["reason"], detail))
    terminal().print(table)


def print_outcome(outcome: Outcome) -> None:
    """Print one task's outcome in one line, for a run of several tasks. The line says why a model was held or a run failed."""
    why = outcome.error
    if "publish" in outcome.artefacts:
        why = f"accuracy {PERCENT.show(outcome.artefacts['evaluate'].manifest['notes']['accuracy'])}"
        held = [gate.gate for gate in all_gates(outcome.artefacts["publish"]) if not gate.promote]
        if outcome.name == "held":
            why += f", held by {', '.join(held)}" if held else ", not approved"
    terminal().print(f"{outcome.task:<20} {outcome.name:<9} {outcome.seconds:6.1f} s  {why}", markup=False)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the number of tasks with each outcome."""
    counts = Counter(outcome.name for outcome in outcomes)
    parts = ", ".join(f"{count} {name}" for name, count in counts.items())
    terminal().print(plural(len(outcomes), "task") + (f": {parts}" if parts else ", none changed"), markup=False)


def print_findings(findings: list[dict[str, Any]]) -> None:
    """Print the data warnings on standard error."""
    for finding in findings:
        lines = ", ".join(map(str, finding["lines"][:10])) + (" ..." if len(finding["lines"]) > 10 else "")
        where = f"{finding['file']}, {'lines' if len(finding['lines']) > 1 else 'line'} {lines}" if lines else finding["file"]
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"warning: {where}: {finding['message']}", markup=False)


def what_was_done(step: str, notes: Mapping[str, Any], verbose: bool = False) -> str:
    """Say in a sentence what a step did, from the notes of its manifest. With `verbose`, return all notes with their names."""
    match "" if verbose else step:
        case "validate":
            kinds = {
                "samples": "sample",
                "query": "query row",
                "out_of_scope": "out-of-scope text",
                "unlabelled": "unlabelled row",
                "warnings": "warning",
            }
            return ", ".join(plural(notes[name], noun) for name, noun in kinds.items() if name in notes)
        case "extract":
            cut = f", {plural(notes['truncated'], 'text')} cut" if notes.get("truncated") else ""
            return f"{plural(notes['encoded'], 'text')} of {notes['rows']:,} encoded{cut}"
        case "tune":
            return f"rung {notes['rung']}, tuned on {plural(notes['samples'], 'sample')} of {notes['classes']:,} classes"
        case "evaluate":
            right, off = PERCENT.show(notes["accuracy"]), POINTS.show(notes["ece"])
            return f"{right} right, probabilities off by {off}, {_gates(notes)}"
        case "export":
            return f"{notes['served']} is served, {_gates(notes)}"
        case "publish":
            return "promote" if notes["promote"] else "hold"
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(notes.items()) if not isinstance(value, dict))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _gates(notes: Mapping[str, Any]) -> str:
    return "passed" if notes["promote"] else "held"


def with_detail(sentence: str, detail: str) -> str:
    """Return the text of a table cell: a sentence and, below it, the detail in a dim style. An empty detail is left out."""
    return f"{escape(sentence)}\n[dim]({escape(detail)})[/]" if detail else escape(sentence)


def minute(time: str) -> str:
    """Return a time of the registry without its seconds and time zone. The registry's times are in UTC."""
    return time[:16].replace("T", " ")


def terminal() -> Console:
    """Return a console. If the output is not a terminal, its width is 200, so that tables are not cut off."""
    console = Console(soft_wrap=True, highlight=False)
    return console if console.is_terminal else Console(soft_wrap=True, highlight=False, width=200)
