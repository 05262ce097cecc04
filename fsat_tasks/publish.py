"""Step 6, publish: gather the gates into one decision, write the report, and move the champion if it says promote."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fsat_tasks.gates import decisions_from_json
from fsat_tasks.registry import Registry
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, write_json

__all__ = ["publish"]

log = logging.getLogger(__name__)


def publish(
    task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact, evaluated: Artefact, exported: Artefact
) -> Artefact:
    """Decide about the exported model.

    Writes decision.json (promote, gates, metrics) and report.html. Unless the task is a dry run, the registry then
    records the decision, and a promoted model becomes the champion.
    """
    parents = {"validate": validated, "extract": extracted, "tune": tuned, "evaluate": evaluated, "export": exported}
    recipe = Recipe(
        "publish", 5,
        # the report shows all of these
        config={"task": task.name, "description": task.spec.description, "encoder": task.spec.encoder.name,
                "shots": task.spec.shots, "seed": task.spec.seed,
                "lineage": {step: artefact.key for step, artefact in parents.items()}},
        inputs={step: artefact.digest for step, artefact in parents.items()},
        parents=parents,
    )  # fmt: skip

    def write(folder: Path) -> dict[str, Any]:
        from fsat_tasks.report import render_report

        gates = decisions_from_json(evaluated.json("gates.json") + exported.json("gates.json"))
        decision = {
            "promote": all(gate.promote for gate in gates),
            "gates": [gate.to_json() for gate in gates],
            "metrics": evaluated.json("metrics.json"),
            "model": exported.reference(),
        }
        write_json(folder / "decision.json", decision)
        (folder / "report.html").write_text(render_report(task, store, decision, parents), "utf-8")
        return {"promote": decision["promote"]}

    registry = Registry(store.root, task.name)
    champion = registry.version()
    published = store.build(recipe, write)
    outcome = "dry run" if task.dry_run else registry.record(exported, published, replaces=champion)
    _log_outcome(task.name, outcome, published)
    return published


def _log_outcome(task: str, outcome: str, published: Artefact) -> None:
    """What a task's log in Airflow says of the decision; the command line prints a table instead."""
    for gate in decisions_from_json(published.json("decision.json")["gates"]):
        log.info("%s: gate %s says %s: %s", task, gate.gate, "promote" if gate.promote else "hold", gate.reason)
    log.info("%s: %s; report: %s", task, outcome, published.path / "report.html")
