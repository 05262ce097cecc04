"""Step 6, publish: gather the gates into one decision, write the report, and move the champion if it says promote."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fsat_tasks.data.tables import load_texts
from fsat_tasks.models.variants import for_a_cpu
from fsat_tasks.quality.gates import all_gates, champion_gates, decisions_from_json, latency_gates
from fsat_tasks.registry.approval import record
from fsat_tasks.registry.challenge import compare_with_champion, rival
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task

__all__ = ["publish"]

log = logging.getLogger(__name__)


def publish(
    task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact, evaluated: Artefact, exported: Artefact
) -> Artefact:
    """Decide about the exported model.

    Writes decision.json (promote, gates, metrics, the champion on the same rows), timings.json and report.html. Unless the task
    is a dry run, the registry then records the decision, and a promoted model becomes the champion, or is held where a person has
    yet to approve it.
    """
    registry = Registry(store.root, task.name)
    champion = registry.champion()
    opponent = rival(store, champion, exported)
    parents = {"validate": validated, "extract": extracted, "tune": tuned, "evaluate": evaluated, "export": exported}
    recipe = Recipe(
        "publish",
        6,
        # the report shows all of these
        config={
            "task": task.name,
            "description": task.spec.description,
            "encoder": task.spec.encoder.name,
            "shots": task.spec.shots,
            "seed": task.spec.seed,
            "champion": opponent,
            "gates": task.spec.gates.model_dump(),
            "lineage": {step: artefact.key for step, artefact in parents.items()},
        },
        inputs={step: artefact.digest for step, artefact in parents.items()},
        parents=parents,
        measured=("timings.json", "report.html"),
    )

    def write(folder: Path) -> dict[str, Any]:
        from fsat_tasks.report.page import render_report

        metrics, bounds = evaluated.json("metrics.json"), task.spec.gates
        gates = decisions_from_json(evaluated.json("gates.json") + exported.json("gates.json"))
        old = opponent and compare_with_champion(store, opponent, validated, evaluated, task.spec.seed)
        if old:
            gates += champion_gates(old["challenger_accuracy"], old, bounds)
        timings = _time_variants(exported, load_texts(validated))
        timed = latency_gates(timings[exported.json("config.json")["served"]], bounds)
        decision = {
            "promote": all(gate.promote for gate in [*gates, *timed]),
            "gates": [gate.to_json() for gate in gates],
            "metrics": metrics,
            "model": exported.reference(),
            "champion": old or opponent,
        }
        write_json(folder / "decision.json", decision)
        write_json(folder / "timings.json", {"graphs": timings, "gates": [gate.to_json() for gate in timed]})
        shown = decision | {"gates": [gate.to_json() for gate in [*gates, *timed]], "champion": old, "timings": timings}
        (folder / "report.html").write_text(render_report(task, store, shown, parents), "utf-8")
        return {"promote": decision["promote"]}

    published = store.build(recipe, write)
    replaces = int(champion["version"]) if champion else 0
    outcome = "decided" if task.dry_run else record(task, store, exported, published, replaces)
    if published.built or not task.dry_run:
        _log_outcome(task.name, outcome, published)
    if outcome == "kept":
        log.warning(
            "%s: version %d stays the champion: a person moved it there, which holds until a new model is promoted, and"
            " this one was before. To have this one: fsat promote %s %s",
            task.name,
            registry.version(),
            task.name,
            registry.number(exported),
        )
    return published


def _time_variants(exported: Artefact, texts: list[str]) -> dict[str, dict[str, float]]:
    """Latency of each graph that a CPU may serve, by its file."""
    from fsat_tasks.models.latency import measure_latency
    from fsat_tasks.models.served import ServedModel

    files = [variant["file"] for variant in exported.json("variants.json") if for_a_cpu(variant)]
    return {file: measure_latency(ServedModel(exported.path, file), texts) for file in files}


def _log_outcome(task: str, outcome: str, published: Artefact) -> None:
    """What a task's log in Airflow says of the decision; the command line prints a table instead."""
    for gate in all_gates(published):
        log.info("%s: gate %s says %s: %s", task, gate.gate, "promote" if gate.promote else "hold", gate.reason)
    log.info("%s: %s; report: %s", task, outcome, published.path / "report.html")
