"""Step 4, evaluate: measure the tuned head, and check its figures against the bounds of the quality gates.

The head is measured on the query rows. If the task has no query rows, the samples are used, and each sample is answered by a
head that was fitted without this sample.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.tables import SLICES_FILE
from fsat_tasks.models.head import load_baseline
from fsat_tasks.quality.comparison import compare_accuracy
from fsat_tasks.quality.figures import Answers, measure, measure_scope, measure_slices, write_tables
from fsat_tasks.quality.model_gates import data_gate, quality_gates
from fsat_tasks.quality.robustness import measure_robustness
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import onnx_device, or_on_the_cpu
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, encoding_class
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["evaluate"]


def evaluate(run: Run) -> Artefact:
    """Measure the accuracy, calibration and coverage of the tuned head.

    Writes metrics.json, gates.json, confusion.csv, reliability.csv and coverage.csv. Also writes predictions.parquet, whose
    columns are line, label, predicted and probability.
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
    head, bounds, seed = run.head, run.task.spec.gates, run.task.spec.seed
    answers = _answer_query(run, device) if len(run.tables.query) else _answer_left_out(run)
    metrics = measure(answers, head.labels, seed) | {"evidence": answers.evidence}
    metrics["coverage"] = float((answers.scope >= head.scope_threshold).mean())
    metrics["baseline"] = compare_accuracy(answers.right, answers.baseline == answers.truth, seed)
    if answers.evidence == "query":
        if slices := measure_slices(answers, run.tables.slices(), seed):
            metrics["slices"] = slices
        metrics["robustness"] = _robustness(run, answers, device)
    if len(run.tables.out_of_scope):
        scores = head.scope_scores(run.head_features(run.tables.out_of_scope.texts, device))
        metrics |= measure_scope(answers.scope, scores, head.scope_threshold)
    gates = [data_gate(int(run.validated.manifest["notes"]["warnings"]), bounds), *quality_gates(metrics, bounds)]
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "gates.json", [gate.to_json() for gate in gates])
    write_tables(answers, head.labels, folder)
    return {"accuracy": metrics["accuracy"], "ece": metrics["ece"], "promote": all(gate.promote for gate in gates)}


def _answer_query(run: Run, device: Device) -> Answers:
    """Return the head's answers to the query rows."""
    query, head = run.tables.query, run.head
    features = run.head_features(query.texts, device)
    pretrained = run.features(query.texts) if run.has_tuned_encoder else features
    return Answers(
        "query",
        query,
        run.tables.class_numbers(query.labels),
        head.probabilities(features),
        head.scope_scores(features),
        load_baseline(run.tuned).labels(pretrained),
    )


def _answer_left_out(run: Run) -> Answers:
    """Return predictions for the samples. Each sample is predicted by a head that was fitted without this sample."""
    import numpy as np
    from scipy.special import softmax

    samples = run.tables.samples.at_lines(run.head.lines)
    held_out = np.load(run.tuned.path / "held_out.npy", allow_pickle=False)  # calibrated logits
    return Answers(
        "leave_one_out",
        samples,
        run.tables.class_numbers(samples.labels),
        softmax(held_out.astype("f8"), axis=1),
        run.head.calibrated.scope.held_out,
        load_baseline(run.tuned).held_out.argmax(axis=1),
    )


def _robustness(run: Run, answers: Answers, device: Device) -> dict[str, Any]:
    """Measure accuracy on perturbed query rows. Their features are not cached, because no other step reads them."""
    if run.has_tuned_encoder:
        encode = partial(run.head_features, device=device)
    else:
        encode = partial(run.open_encoder(run.encoder, run.encoding_class(device)).encode, layers="all")

    def is_right(texts: list[str], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = run.head.probabilities(encode(texts)).argmax(axis=1) == answers.truth[numbers]
        return right

    return measure_robustness(answers.rows.texts, answers.right, is_right, run.task.spec.seed)
