"""Step 4, evaluate: measure the tuned head, and check its figures against the bounds of the quality gates.

The head is measured on the query rows. If the task has no query rows, the samples are used, and each sample is answered by a
head that was fitted without this sample.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.tables import SLICES_FILE, Split
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.head import load_baseline
from fsat_tasks.quality.comparison import compare_errors
from fsat_tasks.quality.figures import measure_scope, measure_slices, write_csv
from fsat_tasks.quality.model_gates import data_gate, quality_gates
from fsat_tasks.quality.robustness import measure_robustness
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import onnx_device, or_on_the_cpu
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, encoding_class
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.targets.target import Judged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.types import Array
    from fsat_tasks.targets.target import Outputs

__all__ = ["evaluate"]

NOTED = ("accuracy", "micro_f1", "mae", "constant_mae", "interval_coverage", "ece")
"""Figures in the notes of the manifest, which `fsat` prints after the step."""


def evaluate(run: Run) -> Artefact:
    """Measure the accuracy, calibration and coverage of the tuned head.

    Writes metrics.json, gates.json and the tables of the plots, such as confusion.csv, reliability.csv and coverage.csv. Also
    writes predictions.parquet, whose columns are line, label, predicted and probability.
    """
    return or_on_the_cpu(run.task.spec.device, lambda device: _evaluate(run, device))


def _evaluate(run: Run, device: Device) -> Artefact:
    spec, validated = run.task.spec, run.validated
    recipe = Recipe(
        "evaluate",
        versions.EVALUATE,
        config={"gates": spec.gates.model_dump(), "seed": spec.seed},
        inputs={
            "rows": validated.sha256("rows.parquet"),
            "slices": validated.sha256(SLICES_FILE),
            "features": run.extracted.digest,
            "tune": run.tuned.digest,
            "findings": validated.sha256("findings.json"),
        },
        numeric_class=encoding_class(onnx_device(device), "fp32") if run.has_tuned_encoder else run.encoding_class(device),
        parents={"validate": validated, "extract": run.extracted, "tune": run.tuned},
    )
    found = run.store.find_first(recipe, (*CUDA_CLASSES, CPU_CLASS)) if spec.device == "auto" else None
    return found or run.store.build(recipe, lambda folder: _write(run, device, folder))


def _write(run: Run, device: Device, folder: Path) -> dict[str, Any]:
    head, target, bounds, seed = run.head, run.target, run.task.spec.gates, run.task.spec.seed
    rows, judged, baseline = _judge_query(run, device) if len(run.tables.query) else _judge_left_out(run)
    metrics = judged.figures(seed) | target.measure(judged, head.rule, seed)
    metrics["coverage"] = float((judged.scope >= head.scope_threshold).mean())
    metrics["baseline"] = compare_errors(judged.errors, _baseline_errors(run, judged, baseline), judged.within, seed)
    if judged.evidence == "query":
        if slices := measure_slices(rows.lines, judged.right, run.tables.slices(), seed):
            metrics["slices"] = slices
        if run.task.modality.perturbations:
            metrics["robustness"] = _robustness(run, rows, judged, device)
    if len(run.tables.out_of_scope):
        scores = head.scope_scores(run.head_features(run.tables.out_of_scope.inputs, device))
        metrics |= measure_scope(judged.scope, scores, head.scope_threshold)
    own = target.gates(metrics, bounds)
    gates = [data_gate(int(run.validated.manifest["notes"]["warnings"]), bounds), *quality_gates(metrics, own, bounds)]
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "gates.json", [gate.to_json() for gate in gates])
    _write_predictions(run, rows, judged, folder / "predictions.parquet")
    for name, records in target.tables(judged, head.rule).items():
        write_csv(folder / f"{name}.csv", records)
    noted = {name: metrics[name] for name in NOTED if name in metrics}
    return {**noted, "promote": all(gate.promote for gate in gates)}


def _judge_query(run: Run, device: Device) -> tuple[Split, Judged, Outputs]:
    """Judge the head on the query rows. Return the rows too, and the baseline's logits, which have no temperature."""
    query, head = run.tables.query, run.head
    features = run.head_features(query.inputs, device)
    pretrained = run.features(query.inputs) if run.has_tuned_encoder else features
    judged = run.target.judge("query", query.labels, head.outputs(features), head.scope_scores(features), head.rule)
    return query, judged, load_baseline(run.tuned).logits(pretrained)


def _judge_left_out(run: Run) -> tuple[Split, Judged, Outputs]:
    """Judge the samples, each predicted by a head that was fitted without it. Return what `_judge_query` returns."""
    import numpy as np

    samples, head = run.tables.samples.at_lines(run.head.lines), run.head.calibrated
    held_out = np.load(run.tuned.path / "held_out.npy", allow_pickle=False)  # calibrated logits
    outputs = head.link.outputs(held_out.astype("f8"), head.temperature)
    judged = run.target.judge("leave_one_out", samples.labels, outputs, head.scope.held_out, run.head.rule)
    return samples, judged, load_baseline(run.tuned).held_out


def _baseline_errors(run: Run, judged: Judged, logits: Outputs) -> Array:
    """Return the distance of each of the baseline's answers from the truth, (n,)."""
    rule, link = run.head.rule, run.head.calibrated.link
    answers = run.target.decide(link.outputs(logits.astype("f8")), run.target.plain_rule(rule))
    return run.target.errors(judged.labels, answers, rule.labels)


def _write_predictions(run: Run, rows: Split, judged: Judged, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rule, target = run.head.rule, run.target
    columns = {
        "line": rows.lines,
        "label": rows.labels,
        "predicted": judged.predicted,
        "probability": target.confidence(judged.outputs, rule),
        "loss": target.losses(judged.labels, judged.outputs, rule),
    }
    pq.write_table(pa.table(columns), path)


def _robustness(run: Run, rows: Split, judged: Judged, device: Device) -> dict[str, Any]:
    """Measure accuracy on perturbed query rows. Their features are not cached, because no other step reads them."""
    if run.has_tuned_encoder:
        encode = partial(run.head_features, device=device)
    else:
        encode = partial(run.open_encoder(run.encoder, run.encoding_class(device)).encode, layers="all")
    rule, labels = run.head.rule, rows.labels

    def is_right(inputs: list[Input], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        found = run.target.decide(run.head.outputs(encode(inputs)), rule)
        errors = run.target.errors([labels[i] for i in numbers], found, rule.labels)
        right: NDArray[np.bool_] = errors <= judged.within
        return right

    return measure_robustness(run.task.modality, rows.inputs, judged.right, is_right, run.task.spec.seed)
