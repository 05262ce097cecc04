"""Tables that verbs print. They fit in 80 columns. With `verbose`, they also show the statistics behind each sentence."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fsat_tasks.cli.streams import say_error, styled_output
from fsat_tasks.quality.wording import DISTANCE, PERCENT, POINTS, headline, plural
from fsat_tasks.runtime.printable import printable
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    from fsat_tasks.registry.next_steps import Decided
    from fsat_tasks.steps.many_tasks import Outcome

__all__ = [
    "minute",
    "one_line",
    "print_decision",
    "print_findings",
    "print_ladder",
    "print_outcome",
    "print_outcomes",
    "print_suspects",
    "terminal",
    "what_was_done",
    "with_detail",
]

LETTERS = 80
"""Maximum number of characters of a text that are shown."""


def print_decision(decided: Decided, artefacts: Mapping[str, Artefact], verbose: bool = False) -> None:
    """Print the gates, and the paths of model, report and manifest. Gates that the model did not pass come first."""
    from fsat_tasks.models.settings import find_graph, read_settings

    console = terminal()
    table = Table("gate", "decision", "reason", title=f"{decided.task}: gates", title_justify="left")
    for gate in sorted(decided.gates, key=lambda gate: gate.promote):
        reason = with_detail(gate.reason, gate.detail if verbose else "")
        table.add_row(gate.gate, "[green]passed[/]" if gate.promote else "[red]held[/]", reason)
    console.print(table)
    model = artefacts["export"]
    for name, path in (
        ("model", find_graph(model.path, read_settings(model.path).served)),
        ("report", artefacts["publish"].path / "report.html"),
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
    if outcome.decided is not None:
        why = headline(outcome.artefacts["evaluate"].manifest["notes"])
        held = [gate.gate for gate in outcome.decided.gates if not gate.promote]
        if outcome.name == "held":
            why += f", held by {', '.join(held)}" if held else ", not approved"
    terminal().print(f"{outcome.task:<20} {outcome.name:<9} {outcome.seconds:6.1f} s  {why}", markup=False)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the number of tasks with each outcome, or that no task had to be run."""
    counts = Counter(outcome.name for outcome in outcomes)
    parts = ", ".join(f"{count} {name}" for name, count in counts.items())
    terminal().print(f"{plural(len(outcomes), 'task')}: {parts}" if parts else "nothing to do: no task has changed", markup=False)
    if counts["held"]:
        terminal().print("To see what held them: fsat status", markup=False)


def print_suspects(task: str, count: int) -> None:
    """Print how many samples look mislabelled, and where they are listed; nothing if there are none."""
    if count:
        look = "sample looks" if count == 1 else "samples look"
        terminal().print(f"{count:,} {look} mislabelled: fsat open {task}", markup=False)


def print_findings(findings: list[dict[str, Any]], most: int | None = None, task: str = "") -> None:
    """Print the data warnings on standard error.

    Args:
        most: maximum number of warnings to print; by default all.
        task: task that has all of them, if there are more.
    """
    for finding in findings[:most]:
        lines = ", ".join(map(str, finding["lines"][:10])) + (" ..." if len(finding["lines"]) > 10 else "")
        where = f"{finding['file']}, {'lines' if len(finding['lines']) > 1 else 'line'} {lines}" if lines else finding["file"]
        say_error(f"warning: {where}: {finding['message']}")
    if most is not None and len(findings) > most:
        say_error(f"and {len(findings) - most} more: fsat validate {task}")


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
            classes = f" of {notes['classes']:,} classes" if notes["classes"] else ""  # numbers have none
            return f"rung {notes['rung']}, tuned on {plural(notes['samples'], 'sample')}{classes}"
        case "evaluate":
            return f"{_quality(notes)}, {_gates(notes)}"
        case "export":
            return f"{notes['served']} is served, {_gates(notes)}"
        case "publish":
            return "promote" if notes["promote"] else "hold"
    return ", ".join(f"{name} {_short(value)}" for name, value in sorted(notes.items()) if not isinstance(value, dict))


def _quality(notes: Mapping[str, Any]) -> str:
    """Say how right the answers are, and how far what the model states about them is to be trusted."""
    stated = f"probabilities off by {POINTS.show(notes['ece'])}"
    if "mae" not in notes:
        return f"{headline(notes) if 'micro_f1' in notes else PERCENT.show(notes['accuracy']) + ' right'}, {stated}"
    if "interval_coverage" in notes:
        stated = f"{PERCENT.show(notes['interval_coverage'])} of the 90 % intervals hold"
    return f"{headline(notes)} (a constant answer: {DISTANCE.show(notes['constant_mae'])}), {stated}"


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


def one_line(text: str) -> str:
    """Return a text of a user in one line, cut after 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= LETTERS else line[: LETTERS - 3] + "..."


def terminal() -> Console:
    """Return a console. If the output is not a terminal and COLUMNS is not set, its width is 200, as files have no edge."""
    console = _Terminal(file=styled_output(), soft_wrap=True, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 200
    return console


class _Terminal(Console):
    """A console that makes the text printable before it is styled."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)
