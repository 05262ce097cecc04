"""Step 4, evaluate: figures on the query rows, or on left-out samples where there are none, and the quality gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.data.tables import SLICES_FILE, load_split, load_texts
from fsat_tasks.encoders.features import class_here, open_encoder, open_features
from fsat_tasks.models.head import Head, baseline_labels, load_head
from fsat_tasks.models.tuned import head_device, open_head_features
from fsat_tasks.quality.comparison import beside
from fsat_tasks.quality.gates import data_gate, quality_gates
from fsat_tasks.quality.robustness import measure_robustness
from fsat_tasks.runtime.device import or_on_the_cpu
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, numeric_class
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Features = Callable[[Sequence[str]], NDArray[np.float32]]

__all__ = ["evaluate"]


def evaluate(task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact) -> Artefact:
    """Measure the tuned head.

    Writes metrics.json, gates.json, predictions.parquet (line, label, predicted, probability), and for plots confusion.csv,
    reliability.csv and coverage.csv.
    """
    return or_on_the_cpu(task.spec.device, lambda device: _evaluate(task, store, validated, extracted, tuned, device))


def _evaluate(task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact, device: Device) -> Artefact:
    tuned_body = "encoder.onnx" in tuned.manifest["files"]
    recipe = Recipe(
        "evaluate",
        7,
        config={"gates": task.spec.gates.model_dump(), "seed": task.spec.seed},
        inputs={
            "rows": validated.sha256("rows.parquet"),
            "slices": validated.sha256(SLICES_FILE),
            "features": extracted.digest,
            "tune": tuned.digest,
            "findings": validated.sha256("findings.json"),
        },
        numeric_class=numeric_class(head_device(device), "fp32") if tuned_body else class_here(store, extracted, device),
        parents={"validate": validated, "extract": extracted, "tune": tuned},
    )
    found = store.find_first(recipe, (*CUDA_CLASSES, CPU_CLASS)) if task.spec.device == "auto" else None
    return found or store.build(recipe, lambda folder: _write(task, store, validated, extracted, tuned, device, folder))


def _write(
    task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact, device: Device, folder: Path
) -> dict[str, Any]:
    head = load_head(tuned)
    features = open_head_features(task, store, extracted, tuned, device)
    pretrained = open_features(task, store, extracted) if head.tuned_body else features
    rows = _query_rows(validated, tuned, head, features, pretrained) or _left_out_rows(validated, tuned, head)
    right = rows.probabilities.argmax(axis=1) == rows.labels
    metrics = _metrics(rows.probabilities, rows.labels, head.labels, task.spec.seed) | {"evidence": rows.evidence}
    metrics["coverage"] = float((rows.scope >= head.scope_threshold).mean())
    metrics["baseline"] = beside(right, rows.baseline == rows.labels, task.spec.seed)
    if rows.evidence == "query":
        if found := _slices(validated, rows.lines, right, task.spec.seed):
            metrics["slices"] = found

        # the row cache has no use for texts that are no rows of the task
        new_features = features if head.tuned_body else partial(open_encoder(task, store, extracted, device).encode, layers="all")

        def is_right(texts: list[str], numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
            answers: NDArray[np.bool_] = head.probabilities(new_features(texts)).argmax(axis=1) == rows.labels[numbers]
            return answers

        metrics["robustness"] = measure_robustness(rows.texts, right, is_right, task.spec.seed)
    outside = load_split(validated, "out_of_scope")
    if outside.lines:
        texts = load_texts(validated)
        scores = head.scope_scores(features([texts[i] for i in outside.text_ids]))
        metrics |= _out_of_scope(rows.scope, scores, head.scope_threshold)
    gates = [data_gate(int(validated.manifest["notes"]["warnings"]), task.spec.gates), *quality_gates(metrics, task.spec.gates)]
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "gates.json", [gate.to_json() for gate in gates])
    _write_predictions(rows, head.labels, folder)
    return {"accuracy": metrics["accuracy"], "ece": metrics["ece"], "promote": all(gate.promote for gate in gates)}


@dataclass(frozen=True)
class _Rows:
    """The rows that figures are of, and what the model says of them."""

    evidence: Literal["query", "leave_one_out"]
    lines: list[int]
    texts: list[str]
    labels: NDArray[np.int64]  # (n,)
    probabilities: NDArray[np.float64]  # (n, classes)
    scope: NDArray[np.float64]  # (n,)
    baseline: NDArray[np.int64]  # (n,), the frozen probe's labels


def _query_rows(validated: Artefact, tuned: Artefact, head: Head, features: Features, pretrained: Features) -> _Rows | None:
    """None where the task has no query rows.

    Args:
        features: texts -> what the head takes.
        pretrained: texts -> what the baseline takes.
    """
    import numpy as np

    query = load_split(validated, "query")
    if not query.lines:
        return None
    all_texts = load_texts(validated)
    texts = [all_texts[i] for i in query.text_ids]
    inside = features(texts)
    frozen = pretrained(texts) if head.tuned_body else inside
    return _Rows(
        "query",
        query.lines,
        texts,
        np.searchsorted(head.labels, query.labels),
        head.probabilities(inside),
        head.scope_scores(inside),
        baseline_labels(tuned, frozen),
    )


def _left_out_rows(validated: Artefact, tuned: Artefact, head: Head) -> _Rows:
    """The samples, each by a head that has not seen it."""
    import numpy as np
    from scipy.special import softmax

    samples, all_texts = load_split(validated, "samples"), load_texts(validated)
    at = {line: number for number, line in enumerate(samples.lines)}
    numbers = [at[line] for line in head.lines]
    held_out = np.load(tuned.path / "held_out.npy", allow_pickle=False)  # calibrated logits
    return _Rows(
        "leave_one_out",
        head.lines,
        [all_texts[samples.text_ids[i]] for i in numbers],
        np.searchsorted(head.labels, [samples.labels[i] for i in numbers]),
        softmax(held_out.astype("f8"), axis=1),
        head.scope.held_out,
        baseline_labels(tuned, None),
    )


def _slices(validated: Artefact, lines: list[int], right: NDArray[np.bool_], seed: int) -> list[dict[str, Any]]:
    """Accuracy for each value of each column that task.yaml names under `slices`."""
    import numpy as np
    import pyarrow.parquet as pq

    from fsat_tasks.numerics.evidence.metrics import accuracy_interval

    table = pq.read_table(validated.path / SLICES_FILE).to_pylist()
    at = {line: number for number, line in enumerate(lines)}
    members: dict[tuple[str, str], list[int]] = {}
    for row in table:
        members.setdefault((row["column"], row["value"]), []).append(at[row["line"]])
    found = []
    for (column, value), numbers in sorted(members.items()):
        own = right[np.array(numbers)]
        low, high = accuracy_interval(own, seed)
        found.append(
            {
                "column": column,
                "value": value,
                "rows": len(own),
                "accuracy": float(own.mean()),
                "accuracy_low": low,
                "accuracy_high": high,
            }
        )
    return found


def _metrics(probabilities: NDArray[np.float64], labels: NDArray[np.int64], names: list[str], seed: int) -> dict[str, Any]:
    import numpy as np

    from fsat_tasks.numerics.evidence.calibration import expected_calibration_error, expected_calibration_error_by_chance
    from fsat_tasks.numerics.evidence.metrics import accuracy_interval, confusion_matrix, macro_f1, recalls

    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, len(names))
    low, high = accuracy_interval(predicted == labels, seed)
    found = recalls(confusion)
    weakest = int(np.nanargmin(found))
    chances = probabilities[np.arange(len(labels)), labels]
    return {
        "rows": len(labels),
        "accuracy": float((predicted == labels).mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": macro_f1(confusion),
        "min_class_recall": float(found[weakest]),
        "weakest_class": names[weakest],
        "ece": expected_calibration_error(probabilities, labels),
        "ece_by_chance": expected_calibration_error_by_chance(probabilities, seed),
        "log_loss": float(-np.mean(np.log(np.maximum(chances, np.finfo(np.float64).tiny)))),
    }


def _out_of_scope(inside: NDArray[np.float64], outside: NDArray[np.float64], threshold: float) -> dict[str, float]:
    """How well the scope score tells rows of the task from rows out of its scope."""
    from fsat_tasks.numerics.heads.scope import area_under_roc, false_positive_rate

    return {
        "oos_auroc": area_under_roc(inside, outside),
        "oos_fpr95": false_positive_rate(inside, outside),
        "oos_refused": float((outside < threshold).mean()),
    }


def _write_predictions(rows: _Rows, names: list[str], folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fsat_tasks.numerics.evidence.calibration import reliability_bins
    from fsat_tasks.numerics.evidence.metrics import coverage_curve

    probabilities = rows.probabilities
    predicted = [names[i] for i in probabilities.argmax(axis=1)]
    truth = [names[i] for i in rows.labels]
    table = {"line": rows.lines, "label": truth, "predicted": predicted, "probability": probabilities.max(axis=1)}
    pq.write_table(pa.table(table), folder / "predictions.parquet")
    pairs = [{"actual": actual, "predicted": guess} for actual, guess in zip(truth, predicted, strict=True)]
    _write_csv(folder / "confusion.csv", pairs)
    _write_csv(folder / "reliability.csv", reliability_bins(probabilities, rows.labels))
    _write_csv(folder / "coverage.csv", coverage_curve(probabilities, rows.labels))


def _write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
