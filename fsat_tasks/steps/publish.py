"""Step 6, publish: decide from all gates whether to promote the model, write the report, and record the decision."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsat_tasks.models.latency import measure_latency
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.settings import read_settings
from fsat_tasks.models.variants import for_a_cpu
from fsat_tasks.quality.gates import all_gates, decisions_from_json
from fsat_tasks.quality.graph_gates import latency_gates
from fsat_tasks.quality.opponent_gates import champion_gates, other_rules, rule_that_applies, target_gate
from fsat_tasks.registry.approval import record
from fsat_tasks.registry.challenge import choose_opponent, compare_with_champion, former_target
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json

__all__ = ["publish"]

log = logging.getLogger(__name__)


def publish(run: Run) -> Artefact:
    """Decide whether to promote the exported model.

    Writes decision.json, timings.json and report.html. decision.json says whether to promote the model, and has the gates, the
    metrics, the model's key and the champion's figures on the rows that this model was measured on.

    Unless this is a dry run, the registry then records the decision. If the decision is promote, the model becomes the
    champion. If a person must approve first, the model is recorded as held.
    """
    task = run.task
    registry = Registry(run.store.root, task.name)
    champion = registry.champion()
    opponent = choose_opponent(run.store, champion, run.exported)
    published = run.store.build(_recipe(run, opponent), lambda folder: _write(run, opponent, folder))
    replaces = int(champion["version"]) if champion else 0
    outcome = "decided" if task.dry_run else record(run, published, replaces)
    if published.built or not task.dry_run:
        _log_outcome(task.name, outcome, published)
    if outcome == "kept":
        log.info(
            "%s: version %d stays the champion: a person chose it, and only a model that was never promoted can replace it. This"
            " one was promoted before. To make it the champion: fsat promote %s %s",
            task.name,
            registry.version(),
            task.name,
            registry.number(run.exported),
        )
    return published


def _recipe(run: Run, opponent: dict[str, Any] | None) -> Recipe:
    spec, parents = run.task.spec, _parents(run)
    return Recipe(
        "publish",
        versions.PUBLISH,
        config={  # part of the key, because the report shows these values
            "task": run.task.name,
            "description": spec.description,
            "encoder": spec.encoder.name,
            "shots": spec.shots,
            "seed": spec.seed,
            "approval": spec.approval,
            "champion": opponent,
            "gates": spec.gates.model_dump(),
            "lineage": {step: artefact.key for step, artefact in parents.items()},
        },
        inputs={step: artefact.digest for step, artefact in parents.items()},
        parents=parents,
        measured=("timings.json", "report.html"),
    )


def _parents(run: Run) -> dict[str, Artefact]:
    return {step: run.artefacts[step] for step in ("validate", "extract", "tune", "evaluate", "export")}


def _write(run: Run, opponent: Mapping[str, Any] | None, folder: Path) -> dict[str, Any]:
    from fsat_tasks.report.page import count_suspects, render_report

    bounds = run.task.spec.gates
    gates = decisions_from_json(run.evaluated.json("gates.json") + run.exported.json("gates.json"))
    former = opponent and former_target(run, opponent)
    champion = opponent and not former and compare_with_champion(run, opponent)
    if opponent and former:
        gates.append(target_gate(former, run.target.name, opponent))
    if champion:
        gates += champion_gates(champion["challenger_accuracy"], champion, bounds)
        champion = {**champion, "rule": rule_that_applies(champion, bounds), "other_rules": other_rules(champion, bounds)}
    with show_work("publish: latency"):
        timings = _time_variants(run)
    timed = latency_gates(timings[read_settings(run.exported.path).served], bounds)
    decision = {
        "promote": all(gate.promote for gate in [*gates, *timed]),
        "gates": [gate.to_json() for gate in gates],
        "metrics": run.evaluated.json("metrics.json"),
        "model": run.exported.reference(),
        "champion": champion or opponent,
    }
    write_json(folder / "decision.json", decision)
    write_json(folder / "timings.json", {"graphs": timings, "gates": [gate.to_json() for gate in timed]})
    shown = {"gates": [gate.to_json() for gate in [*gates, *timed]], "champion": champion, "timings": timings}
    with show_work("publish: report"):
        (folder / "report.html").write_text(render_report(run, decision | shown, datetime.now(UTC)), "utf-8")
    return {"promote": decision["promote"], "suspects": count_suspects(run)}


def _time_variants(run: Run) -> dict[str, dict[str, float]]:
    """Measure the latency of each graph that may be served on a CPU. Returns file name -> latency figures."""
    files = [variant["file"] for variant in run.exported.json("variants.json") if for_a_cpu(variant)]
    rows = run.tables.encoded(run.source.reads_words)
    return {file: measure_latency(ServedModel(run.exported.path, file, kept=run.kept), rows) for file in files}


def _log_outcome(task: str, outcome: str, published: Artefact) -> None:
    """Write the gates and the outcome to the log. People read this log in Airflow. The command line prints a table instead."""
    for gate in all_gates(published):
        log.info("%s: gate %s says %s: %s", task, gate.gate, "promote" if gate.promote else "hold", gate.reason)
    log.info("%s: %s; report: %s", task, outcome, published.path / "report.html")
