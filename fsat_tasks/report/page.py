"""The report of a run: one self-contained HTML page that opens offline."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fsat_tasks.data.tables import SPLITS
from fsat_tasks.quality.gates import TITLES as GATE_TITLES
from fsat_tasks.report.map import draw_map, label_shares
from fsat_tasks.report.plots import axis_over, calibration_plot, coverage_plot, share_axis
from fsat_tasks.report.tables import (
    accuracies,
    class_figures,
    confusions,
    findings,
    label_errors,
    lineage,
    package_versions,
    read_figures,
    sample_rows,
    variants,
)
from fsat_tasks.runs.run import Run
from fsat_tasks.templates import render, source

__all__ = ["render_report"]


def render_report(run: Run, decision: Mapping[str, Any]) -> str:
    """Render the page. The decision comes first, and the sections follow in the order of TITLES.

    A section without content is left out. Sections state their results in sentences. The statistics are in `<details>`
    elements below these sentences.

    Args:
        run: the run, with the artefacts of all steps before `publish`.
        decision: the content of decision.json, with all gates and the timings.
    """
    sections = _sections(run, decision)
    style, script = source("report.css"), source("report.js")
    own = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return render(
        "report.html.j2",
        task=run.task,
        decision=decision,
        metrics=decision["metrics"],
        style=style,
        script=script,
        # the page may load nothing, and only its own style and script may run
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; {own}",
        titles=[(name, TITLES[name]) for name in TITLES if sections[name]],
        gate_titles=GATE_TITLES,
        rung_titles=RUNG_TITLES,
        split_titles=SPLIT_TITLES,
        spellings=SPELLINGS,
        sizes=_sizes(run),
        **sections,
    )


TITLES = {
    "suspects": "Suspected label errors",
    "gates": "Gates",
    "accuracy": "Accuracy",
    "classes": "Classes",
    "confusions": "Confusions",
    "calibration": "Calibration",
    "selective": "Coverage and accuracy",
    "map": "Feature map",
    "ladder": "The ladder",
    "labels": "Label distribution",
    "data": "Data",
    "variants": "Size and speed",
    "robustness": "Robustness",
    "slices": "Slices",
    "lineage": "Lineage",
}
"""Section -> its heading, in the order of the page."""
RUNG_TITLES = {
    "prototypes": "averages of each class",
    "probe": "linear classifier",
    "pool": "classifier that also learns from unlabelled rows",
    "body": "encoder tuned on the samples",
    "body-pool": "classifier on the tuned encoder that also learns from unlabelled rows",
    "self-training": "encoder tuned on the samples and on unlabelled rows",
}
SPLIT_TITLES = {
    "samples": "samples",
    "query": "query rows",
    "out_of_scope": "out-of-scope texts",
    "unlabelled": "unlabelled rows",
}
SPELLINGS = {
    "case": "other capitals",
    "typos": "typos",
    "punctuation": "other punctuation",
    "whitespace": "other spacing",
}
"""Kind of perturbation in `measure_robustness` -> its name on the page."""


def _sections(run: Run, decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return section -> content. The content is empty or None if the run has nothing to show in this section."""
    import pyarrow.parquet as pq

    metrics, head, folder = decision["metrics"], run.head, run.evaluated.path
    predictions = pq.read_table(folder / "predictions.parquet").to_pylist()
    split = "query" if metrics["evidence"] == "query" else "samples"
    texts = run.tables.split(split).text_of_line()
    samples = sample_rows(run)
    query = [{**row, "split": split, "text": texts[row["line"]]} for row in predictions] if split == "query" else []
    shots = Counter(row["label"] for row in samples)
    parents = [run.artefacts[step] for step in ("validate", "extract", "tune", "evaluate", "export")]
    return {
        "suspects": label_errors(samples, head.labels),
        "gates": decision["gates"],
        "accuracy": accuracies(decision),
        "classes": class_figures(predictions, shots),
        "confusions": {"pairs": confusions(predictions, texts)},
        "calibration": calibration_plot(read_figures(folder / "reliability.csv")),
        "selective": coverage_plot([(row["coverage"], row["accuracy"]) for row in read_figures(folder / "coverage.csv")]),
        "map": draw_map([*samples, *query], run),
        "ladder": run.tuned.json("ladder.json"),
        "labels": label_shares(run, shots),
        "data": {"findings": findings(run)},
        "variants": {"rows": variants(run.exported, decision.get("timings", {})), "parity": run.exported.json("parity.json")},
        "robustness": _robustness(metrics),
        "slices": _slices(metrics),
        "lineage": {"steps": lineage(parents), "versions": package_versions(parents)},
    }


def _robustness(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    robustness = metrics.get("robustness")
    if not robustness or not robustness["kinds"]:
        return None
    drops = [kind[name] for kind in robustness["kinds"] for name in ("drop_low", "drop_high")]
    return {**robustness, "axis": axis_over([0.0, *drops])}


def _slices(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    slices = metrics.get("slices")
    if not slices:
        return None
    figures = [one[name] for one in slices for name in ("accuracy_low", "accuracy_high")]
    return {"rows": slices, "axis": share_axis([*figures, metrics["accuracy"]])}


def _sizes(run: Run) -> dict[str, int]:
    """Return the number of rows in each of the task's files."""
    return {split: len(run.tables.split(split)) for split in SPLITS} | {"unlabelled": run.pool.size}


def _hash(text: str) -> str:
    """Return the hash that names a style or script in the page's content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
