"""Tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from fsat_tasks.gates import decisions_from_json
from fsat_tasks.store import Artefact

__all__ = ["print_decision", "print_status"]


def print_decision(task: str, published: Artefact, model: Artefact) -> None:
    """The gates, the decision, and where the model, the report and the manifest are."""
    console = Console(soft_wrap=True, highlight=False)
    decision = published.json("decision.json")
    table = Table("gate", "decision", "reason", title=f"{task}: gates", title_justify="left")
    for gate in decisions_from_json(decision["gates"]):
        table.add_row(gate.gate, "[green]promote[/]" if gate.promote else "[red]hold[/]", gate.reason)
    console.print(table)
    console.print("decision:", "[bold green]promote[/]" if decision["promote"] else "[bold red]hold[/]")
    for name, path in (("model", model.path / "model.onnx"), ("report", published.path / "report.html"),
                       ("manifest", model.path / "manifest.json")):  # fmt: skip
        console.print(f"{name + ':':<10}{path}", markup=False)


def print_status(rows: list[dict[str, Any]]) -> None:
    """One line a task."""
    table = Table("task", "champion", "accuracy", "ECE", "since", "last decision")
    for row in rows:
        champion, last = row["champion"], row["last"]
        figures = ("-",) * 4
        if champion:
            metrics = champion["metrics"]
            figures = (f"v{champion['version']}", f"{metrics['accuracy']:.3f}", f"{metrics['ece']:.3f}", champion["time"])
        table.add_row(row["task"], *figures, last["action"] if last else "none yet")
    Console(soft_wrap=True, highlight=False).print(table)
