"""Tables on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fsat_tasks.quality.gates import all_gates
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    from fsat_tasks.steps.many_tasks import Outcome

__all__ = ["print_decision", "print_findings", "print_ladder", "print_outcome", "print_outcomes", "print_status", "terminal"]


def print_decision(task: str, published: Artefact, model: Artefact, champion: dict[str, Any] | None) -> None:
    """The gates, the decision, who is champion now, and where the model, the report and the manifest are."""
    console = terminal()
    decision = published.json("decision.json")
    table = Table("gate", "decision", "reason", title=f"{task}: gates", title_justify="left")
    for gate in all_gates(published):
        table.add_row(gate.gate, "[green]promote[/]" if gate.promote else "[red]hold[/]", escape(gate.reason))
    console.print(table)
    console.print("decision:", "[bold green]promote[/]" if decision["promote"] else "[bold red]hold[/]")
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


def print_ladder(tuned: Artefact) -> None:
    """The rungs: evidence, seconds, what was decided and why."""
    table = Table("rung", "taken", "log-loss", "accuracy", "seconds", "why", title="the ladder", title_justify="left")
    seconds = tuned.manifest["notes"]["rung_seconds"]
    for rung in tuned.json("ladder.json"):
        figures = ("", "", "")
        if rung["log_loss"] is not None:
            figures = (f"{rung['log_loss']:.3f}", f"{rung['accuracy']:.3f}", f"{seconds[rung['name']]:.1f}")
        table.add_row(rung["name"], "[green]yes[/]" if rung["taken"] else "no", *figures, escape(rung["reason"]))
    terminal().print(table)


def print_outcome(outcome: Outcome) -> None:
    """One task of several, in one line, and why it was held or could not be run."""
    why = outcome.error
    if "publish" in outcome.artefacts:
        why = f"accuracy {outcome.artefacts['evaluate'].manifest['notes']['accuracy']:.3f}"
        held = [gate.gate for gate in all_gates(outcome.artefacts["publish"]) if not gate.promote]
        if outcome.name == "held":
            why += f", {', '.join(held) or 'not approved'}"
    terminal().print(f"{outcome.task:<20} {outcome.name:<9} {outcome.seconds:6.1f} s  {why}", markup=False)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """How many tasks there were of each outcome."""
    counts = Counter(outcome.name for outcome in outcomes)
    parts = ", ".join(f"{count} {name}" for name, count in counts.items())
    terminal().print(f"{len(outcomes)} tasks" + (f": {parts}" if parts else ", none changed"), markup=False)


def print_status(rows: list[dict[str, Any]]) -> None:
    """One line a task."""
    table = Table("task", "champion", "accuracy", "ECE", "since", "last decision")
    for row in rows:
        champion, last = row["champion"], row["last"]
        figures = ("-",) * 4
        if champion:
            metrics = champion["metrics"]
            figures = (f"v{champion['version']}", f"{metrics['accuracy']:.3f}", f"{metrics['ece']:.3f}", champion["time"])
        table.add_row(escape(row["task"]), *figures, last["action"] if last else "none yet")
    terminal().print(table)


def terminal() -> Console:
    """A console that cuts nothing off where no terminal says how wide it is."""
    console = Console(soft_wrap=True, highlight=False)
    return console if console.is_terminal else Console(soft_wrap=True, highlight=False, width=200)


def print_findings(findings: list[dict[str, Any]]) -> None:
    """The data warnings, on standard error."""
    for finding in findings:
        lines = ", ".join(map(str, finding["lines"][:10])) + (" ..." if len(finding["lines"]) > 10 else "")
        where = f"{finding['file']}, line {lines}" if lines else finding["file"]
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"warning: {where}: {finding['message']}", markup=False)
