"""Content of the report's tables, from the artefacts of a run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fsat_tasks.data.pool import POOL
from fsat_tasks.encoders.artefact import size_limit
from fsat_tasks.encoders.cuts import say_cut
from fsat_tasks.report.plots import share_axis
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact

__all__ = [
    "accuracies",
    "findings",
    "lineage",
    "package_versions",
    "read_figures",
    "sample_rows",
    "variants",
]

Row = dict[str, Any]
EXAMPLES = 3


def read_figures(path: Path) -> list[dict[str, float]]:
    """Read the rows of a CSV file of numbers. Returns an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def sample_rows(run: Run) -> list[Row]:
    """List the samples that the head was fitted to. Each has the answer of a head that was fitted without this sample."""
    import numpy as np

    samples, head = run.tables.samples.at_lines(run.head.lines), run.head
    logits = np.load(run.tuned.path / "held_out.npy", allow_pickle=False).astype(np.float64)  # (samples, columns), calibrated
    outputs = head.calibrated.link.outputs(logits, head.temperature)
    predicted = run.target.decide(outputs, head.rule)
    return [
        {
            "split": "samples",
            "line": line,
            "input": row,
            "text": run.task.modality.show(row),
            "label": label,
            "predicted": guess,
            "outputs": p,
        }
        for line, row, label, guess, p in zip(samples.lines, samples.inputs, samples.labels, predicted, outputs, strict=True)
    ]


def accuracies(decision: Mapping[str, Any]) -> Row:
    """List the accuracies of this model, the champion and the frozen baseline, with their intervals."""
    metrics, champion = decision["metrics"], decision.get("champion")
    bound = next((gate["bound"] for gate in decision["gates"] if gate["gate"] == "accuracy"), None)
    others = []
    if champion:
        others.append({"name": f"champion, version {champion['version']}", **champion})
    if metrics.get("baseline"):
        others.append({"name": "frozen baseline", **metrics["baseline"]})
    models = [{"name": "this model", **metrics}, *others]
    figures = [model[name] for model in models for name in ("accuracy_low", "accuracy_high")]
    return {"models": models, "bound": bound, "axis": share_axis([*figures, *([] if bound is None else [bound])])}


def findings(run: Run) -> list[Row]:
    """List the data warnings. Each warning has at most three texts as examples, from the lines that the warning names."""
    found = run.validated.json("findings.json") + _cuts(run)
    show = run.task.modality.show
    texts = {
        split: {line: show(row) for line, row in run.tables.split(split).by_line().items()}
        for split in {one["file"] for one in found}
    }
    return [
        {**one, "examples": [(line, texts[one["file"]][line]) for line in one["lines"] if line in texts[one["file"]]][:EXAMPLES]}
        for one in found
    ]


def _cuts(run: Run) -> list[Row]:
    """List a warning for each file with rows that were longer than the encoder reads."""
    cut, noun, limit = run.extracted.json("cut.json"), run.task.modality.noun, size_limit(run.encoder)
    found: list[Row] = [
        {"file": split, "message": say_cut(len(lines), len(run.tables.split(split)), noun, limit), "lines": lines}
        for split, lines in run.tables.lines_of(cut["texts"]).items()
    ]
    if cut["unlabelled"]:
        drawn = min(run.pool.size, run.task.spec.tune.pool_rows)
        found.append({"file": POOL, "message": say_cut(cut["unlabelled"], drawn, noun, limit), "lines": []})
    return found


def variants(exported: Artefact, timings: Mapping[str, Any]) -> list[Row]:
    """List the variants of the model with their size, latency, and agreement with the reference."""
    return [
        {**one, "latency": timings.get(one["file"]) if one["device"] == "cpu" else None} for one in exported.json("variants.json")
    ]


def lineage(parents: Iterable[Artefact]) -> list[Row]:
    """List step, key, digest and numeric class of each artefact. The encoder is listed too, before `extract`."""
    rows = []
    for artefact in parents:
        encoder = artefact.manifest["parents"].get("encoder")
        if artefact.step == "extract" and encoder:
            rows.append({**encoder, "numeric_class": None})
        rows.append({**artefact.reference(), "numeric_class": artefact.manifest["numeric_class"]})
    return rows


def package_versions(parents: Iterable[Artefact]) -> dict[str, str]:
    """Map each package to its version. If the artefacts were made with several versions of a package, all are listed."""
    found: dict[str, set[str]] = {}
    for artefact in parents:
        for name, version in artefact.manifest["versions"].items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(found[name])) for name in sorted(found)}
