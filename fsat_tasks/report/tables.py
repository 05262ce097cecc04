"""Content of the report's tables, from the artefacts of a run."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsat_tasks.report.plots import share_axis
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact

__all__ = [
    "accuracies",
    "class_figures",
    "confusions",
    "findings",
    "label_errors",
    "lineage",
    "package_versions",
    "read_figures",
    "sample_rows",
    "variants",
]

Row = dict[str, Any]
CONFUSIONS, EXAMPLES = 12, 3
SUSPECTS = 25
"""Maximum number of suspected label errors that are shown. The surest errors come first."""


def read_figures(path: Path) -> list[dict[str, float]]:
    """Read the rows of a CSV file of numbers. Returns an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def sample_rows(run: Run) -> list[Row]:
    """List the samples that the head was fitted to. Each has the answer of a head that was fitted without this sample."""
    import numpy as np
    from scipy.special import softmax

    samples, labels = run.tables.samples.at_lines(run.head.lines), run.head.labels
    logits = np.load(run.tuned.path / "held_out.npy", allow_pickle=False).astype(np.float64)  # (samples, classes), calibrated
    return [
        {
            "split": "samples",
            "line": line,
            "text": text,
            "label": label,
            "predicted": labels[int(row.argmax())],
            "probabilities": row,
        }
        for line, text, label, row in zip(samples.lines, samples.texts, samples.labels, softmax(logits, axis=1), strict=True)
    ]


def label_errors(samples: Sequence[Row], labels: list[str]) -> Row:
    """Count the samples whose label is probably wrong, and list at most 25 of them, the surest errors first."""
    import numpy as np

    from fsat_tasks.numerics.evidence.label_errors import suspected_label_errors

    probabilities = np.stack([row["probabilities"] for row in samples])
    given = np.array([labels.index(row["label"]) for row in samples])
    rows, likelier = suspected_label_errors(probabilities, given)
    shown = [
        {
            **samples[i],
            "likelier": labels[j],
            "probability": float(probabilities[i, j]),
            "given": float(probabilities[i, given[i]]),
        }
        for i, j in zip(rows[:SUSPECTS], likelier, strict=False)
    ]
    return {"count": len(rows), "of": len(samples), "rows": shown}


def class_figures(predictions: Sequence[Row], shots: Counter[str]) -> list[Row]:
    """List number of rows, recall, precision and F1 of each class that has rows. The class with the lowest F1 comes first."""
    truth = Counter(row["label"] for row in predictions)
    predicted = Counter(row["predicted"] for row in predictions)
    right = Counter(row["label"] for row in predictions if row["label"] == row["predicted"])
    classes = [
        {
            "label": label,
            "shots": shots[label],
            "rows": truth[label],
            "recall": right[label] / truth[label],
            "precision": right[label] / predicted[label] if predicted[label] else None,
            "f1": 2 * right[label] / (truth[label] + predicted[label]),
        }
        for label in sorted(truth)
    ]
    return sorted(classes, key=lambda row: row["f1"])


def confusions(predictions: Sequence[Row], texts: Mapping[int, str]) -> list[Row]:
    """List the most frequent pairs of a true label and a wrong label. A pair's examples are the rows with the surest mistakes."""
    wrong = sorted((row for row in predictions if row["label"] != row["predicted"]), key=lambda row: -row["probability"])
    pairs = Counter((row["label"], row["predicted"]) for row in wrong).most_common(CONFUSIONS)
    return [
        {
            "label": label,
            "predicted": predicted,
            "rows": count,
            "examples": [
                {"text": texts[row["line"]], "line": row["line"], "probability": row["probability"]}
                for row in wrong
                if (row["label"], row["predicted"]) == (label, predicted)
            ][:EXAMPLES],
        }
        for (label, predicted), count in pairs
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
    found = run.validated.json("findings.json")
    texts = {split: run.tables.split(split).text_of_line() for split in {one["file"] for one in found}}
    return [
        {**one, "examples": [(line, texts[one["file"]][line]) for line in one["lines"] if line in texts[one["file"]]][:EXAMPLES]}
        for one in found
    ]


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
