"""The report of a run: one self-contained HTML page that opens offline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact
from fsat_tasks.templates import render
from fsat_tasks.validate import load_split, pool_size, texts_of_lines

__all__ = ["render_report"]

CONFUSIONS = 12
EXAMPLES = 3


def render_report(
    task: Task, decision: Mapping[str, Any], validated: Artefact, tuned: Artefact, evaluated: Artefact, exported: Artefact
) -> str:
    """HTML with the decision on top, then gates, figures, ladder, classes, confusions with their sentences, data and lineage."""
    import csv

    import pyarrow.parquet as pq

    predictions = pq.read_table(evaluated.path / "predictions.parquet").to_pylist()
    with (evaluated.path / "reliability.csv").open(encoding="utf-8") as file:
        bins = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return render(
        "report.html.j2",
        task=task,
        decision=decision,
        metrics=decision["metrics"],
        classes=_classes(predictions),
        confusions=_confusions(predictions, texts_of_lines(validated, decision["metrics"]["evidence"])),
        reliability=bins,
        ladder=tuned.json("ladder.json"),
        findings=validated.json("findings.json"),
        parity=exported.json("parity.json"),
        lineage=[validated, tuned, evaluated, exported],
        sizes={split: len(load_split(validated, split).lines) for split in ("samples", "query", "out_of_scope")}
        | {"unlabelled": pool_size(validated)},
    )


def _classes(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    truth = Counter(row["label"] for row in predictions)
    predicted = Counter(row["predicted"] for row in predictions)
    right = Counter(row["label"] for row in predictions if row["label"] == row["predicted"])
    return [
        {
            "label": label,
            "rows": truth[label],
            "recall": right[label] / truth[label],
            "precision": right[label] / predicted[label] if predicted[label] else None,
        }
        for label in sorted(truth)
    ]


def _confusions(predictions: list[dict[str, Any]], texts: Mapping[int, str]) -> list[dict[str, Any]]:
    """The most frequent pairs of a label and what was said instead, with the surest mistakes as examples."""
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
