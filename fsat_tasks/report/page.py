"""The report of a run: one self-contained HTML page that opens offline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fsat_tasks.data.tables import SPLITS
from fsat_tasks.quality.gates import TITLES as GATE_TITLES
from fsat_tasks.quality.gates import decisions_from_json
from fsat_tasks.quality.wording import duration
from fsat_tasks.registry.next_steps import before_record
from fsat_tasks.registry.registry import Registry
from fsat_tasks.registry.standing import find_standing
from fsat_tasks.report.by_target import VIEWS, Answered
from fsat_tasks.report.data_step import data_steps
from fsat_tasks.report.gists import gists
from fsat_tasks.report.map import draw_map, label_shares
from fsat_tasks.report.plots import axis_over, share_axis
from fsat_tasks.report.run_facts import frozen_and_tuned, parameters, run_facts
from fsat_tasks.report.snippet import call_snippet
from fsat_tasks.report.suspects import suspects_link
from fsat_tasks.report.tables import accuracies, findings, lineage, package_versions, sample_rows, variants
from fsat_tasks.report.words import WORDS
from fsat_tasks.runs.run import Run
from fsat_tasks.templates import render, source, unbroken

__all__ = ["render_report"]


def render_report(run: Run, decision: Mapping[str, Any], written: datetime) -> str:
    """Render the page. The decision comes first, and the sections follow in the order of TITLES.

    A section without content is left out. Sections state their results in sentences. The statistics are in `<details>`
    elements below these sentences.

    Args:
        run: the run, with the artefacts of all steps before `publish`.
        decision: the content of decision.json, with all gates and the timings.
        written: time of the report, in UTC.
    """
    words, metrics = WORDS[run.target.name], decision["metrics"]
    standing = find_standing(Registry(run.store.root, run.task.name), run.exported.digest)
    sections = dict.fromkeys(TITLES) | _sections(run, decision) | {"run": _run(run, written)}
    gates = decisions_from_json(decision["gates"])
    following = before_record(run.task.name, decision, gates, standing, run.task.spec.approval)
    style, script = source("report.css"), source("report.js")
    own = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    page = render(
        "report.html.j2",
        task=run.task,
        decision=decision,
        metrics=metrics,
        compared=[gate["reason"] for gate in decision["gates"] if gate["gate"] in ("champion", "target")],
        frozen=frozen_and_tuned(run, metrics),
        standing=following.says,
        hint=following.hint,
        next_steps=[*following.commands, *data_steps(run.task, sections, standing.champion > 0)],
        figures=VIEWS[run.target.name].figures(metrics),
        words=words,
        style=style,
        script=script,
        # the page may load nothing, and only its own style and script may run
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; {own}",
        titles=TITLES,
        shown=[name for name in TITLES if sections[name]],
        gists=gists(sections, metrics),
        gate_titles=GATE_TITLES,
        rung_titles=RUNG_TITLES | words.rungs,
        rung_times={rung: duration(seconds) for rung, seconds in run.tuned.manifest["notes"]["rung_seconds"].items()},
        split_titles=SPLIT_TITLES,
        spellings=SPELLINGS,
        sizes=_sizes(run),
        unseen="query rows, which the model has not seen" if metrics["evidence"] == "query" else "samples, each left out in turn",
        **sections,
    )
    return unbroken(page)


TITLES = {
    "suspects": "Suspected label errors",
    "accuracy": "Accuracy",
    "gates": "Gates",
    "numbers": "Predicted and true numbers",
    "intervals": "Intervals",
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
    "use": "Call the model",
    "run": "This run",
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
"""Kind of perturbation of a text -> its name on the page. Kinds of other modalities are shown as they are."""


def _sections(run: Run, decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return section -> content. The content is empty or None if the run has nothing to show in this section."""
    import pyarrow.parquet as pq

    metrics, folder, view = decision["metrics"], run.evaluated.path, VIEWS[run.target.name]
    split = "query" if metrics["evidence"] == "query" else "samples"
    inputs = run.tables.split(split).by_line()
    rows = [
        {**row, "split": split, "input": inputs[row["line"]], "text": run.task.modality.show(inputs[row["line"]])}
        for row in pq.read_table(folder / "predictions.parquet").to_pylist()
    ]
    answered = Answered(rows, sample_rows(run), run.target, run.head.rule, metrics, folder)
    suspects = _suspects(run, answered.samples)
    return {
        **view.sections(answered),
        "suspects": suspects and suspects | {"link": suspects_link(suspects, run.task)},
        "gates": decision["gates"],
        "accuracy": accuracies(decision),
        "map": draw_map([*answered.samples, *(rows if split == "query" else [])], run, view.coloured),
        "ladder": run.tuned.json("ladder.json"),
        "labels": label_shares(run, answered.shots),
        "data": {"findings": findings(run)},
        "variants": {"rows": variants(run.exported, decision.get("timings", {})), "parity": run.exported.json("parity.json")},
        "robustness": _robustness(metrics),
        "slices": _slices(metrics),
        "use": call_snippet(run.exported.path, run.target.name) if run.task.spec.inputs == "text" else None,
    }


def count_suspects(run: Run) -> int:
    """Return the number of samples whose label is probably wrong; 0 if the answers are numbers."""
    suspects = _suspects(run, sample_rows(run))
    return int(suspects["count"]) if suspects else 0


def _suspects(run: Run, samples: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    find = VIEWS[run.target.name].suspects
    return find and find(samples, run.head.rule.labels, run.target)


def _run(run: Run, written: datetime) -> dict[str, Any]:
    parents = [run.artefacts[step] for step in ("validate", "extract", "tune", "evaluate", "export")]
    return {
        **run_facts(run, parents, written),
        "parameters": parameters(run, _sizes(run)),
        "lineage": lineage(parents),
        "versions": package_versions(parents),
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
