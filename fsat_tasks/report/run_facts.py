"""When, by whom, from what and with what effort a model was made. These facts differ from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fsat_tasks.quality.wording import PERCENT, duration, minute, plural
from fsat_tasks.registry.next_steps import KEY_LETTERS
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.machine import user_name
from fsat_tasks.store import Artefact

__all__ = ["frozen_and_tuned", "parameters", "run_facts"]

CALLERS = {"cli": "the command line", "airflow": "Airflow", "dvc": "DVC", "library": "Python"}
"""Program that ran the steps -> its name on the page."""
HEADS = ("prototypes", "probe")
"""Rungs that make the frozen baseline."""


def run_facts(run: Run, parents: Sequence[Artefact], written: datetime) -> dict[str, Any]:
    """Return who wrote the report when and from where, and what the steps before it took.

    Args:
        run: the run.
        parents: the artefacts of the steps before `publish`.
        written: time of the report, in UTC.
    """
    seconds = [float(artefact.manifest["wall_seconds"]) for artefact in parents]
    return {
        "written": minute(written),
        "by": f"{user_name()}, from {CALLERS.get(run.store.caller, run.store.caller)}",
        "model": run.exported.key[:KEY_LETTERS],
        "total": duration(sum(seconds)),
        "bytes": sum(entry["bytes"] for artefact in parents for entry in artefact.manifest["files"].values()),
        "steps": [
            {
                "step": artefact.step,
                "time": duration(taken),
                "share": taken / max(seconds),
                "done": minute(datetime.fromisoformat(artefact.manifest["created"])),
            }
            for artefact, taken in zip(parents, seconds, strict=True)
        ],
    }


def parameters(run: Run, sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the settings that decide what a run makes, each in words.

    Args:
        run: the run.
        sizes: number of rows in each of the task's files.
    """
    spec, tune = run.task.spec, run.task.spec.tune
    gpu = any("cuda" in str(run.artefacts[step].manifest["numeric_class"]) for step in ("extract", "tune"))
    body = f"{tune.body}, planned for at most {duration(tune.budget_seconds)}" if tune.body != "off" else "off"
    found = {
        "encoder": f"{spec.encoder.name}, {spec.encoder.precision}",
        "samples used": f"{spec.shots} of each class at most" if spec.shots else "all",
        "unlabelled rows used": f"{min(tune.pool_rows, sizes['unlabelled']):,} at most" if sizes["unlabelled"] else "",
        "fine-tuning": body,
        "class weights": tune.class_weight or "",
        "seed": str(spec.seed),
        "device": "a GPU" if gpu else "the processor (CPU)",
        "approval by a person": "required" if spec.approval else "not required",
    }
    return {name: value for name, value in found.items() if value}


def frozen_and_tuned(run: Run, metrics: Mapping[str, Any]) -> str:
    """Compare the frozen head with the model: seconds and accuracy of each, and whether the rows tell them apart."""
    frozen, rows = metrics["baseline"], plural(metrics["rows"], "row")
    seconds: Mapping[str, float] = run.tuned.manifest["notes"]["rung_seconds"]
    significance = run.task.spec.gates.significance
    if frozen["p"] <= significance:
        verdict = f"On {rows} that is better beyond chance."
    elif frozen["worse_p"] < significance:
        verdict = f"On {rows} that is worse beyond chance."
    else:
        verdict = f"The two are not distinguishable on {rows}."
    before = f"{PERCENT.show(frozen['accuracy'])} right after {duration(sum(seconds.get(rung, 0.0) for rung in HEADS))}"
    after = f"{PERCENT.show(metrics['accuracy'])} after {duration(sum(seconds.values()))}"
    return f"A head on the frozen encoder gets {before}, this model {after}. {verdict}"
