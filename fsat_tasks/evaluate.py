"""Step 4, evaluate: figures on the query rows, or on left-out samples where there are none, and the quality gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.backends import numeric_class
from fsat_tasks.gates import quality_gates
from fsat_tasks.head import load_head
from fsat_tasks.head_features import head_device, open_head_features
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, write_json
from fsat_tasks.validate import load_split, load_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["evaluate"]


def evaluate(task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact) -> Artefact:
    """Measure the tuned head.

    Writes metrics.json, gates.json, predictions.parquet (line, label, predicted, probability), and for plots
    confusion.csv and reliability.csv.
    """
    recipe = Recipe(
        "evaluate", 5,
        config={"gates": task.spec.gates.model_dump(), "seed": task.spec.seed},
        inputs={"rows": validated.sha256("rows.parquet"), "features": extracted.digest, "tune": tuned.digest},
        numeric_class=numeric_class(head_device(task), "fp32"),  # of a tuned body's features
        parents={"validate": validated, "extract": extracted, "tune": tuned},
    )  # fmt: skip
    return store.build(recipe, lambda folder: _evaluate(task, store, validated, extracted, tuned, folder))


def _evaluate(
    task: Task, store: Store, validated: Artefact, extracted: Artefact, tuned: Artefact, folder: Path
) -> dict[str, Any]:
    import numpy as np

    head = load_head(tuned)
    query, outside = load_split(validated, "query"), load_split(validated, "out_of_scope")
    texts, text_features = load_texts(validated), open_head_features(task, store, extracted, tuned)

    def features(text_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return text_features([texts[i] for i in text_ids])

    if query.lines:
        evidence, lines = "query", query.lines
        labels = np.searchsorted(head.labels, query.labels)
        inside = features(query.text_ids)
        probabilities = head.probabilities(inside)  # (rows, classes)
    else:
        from scipy.special import softmax

        evidence, lines = "leave_one_out", head.lines
        samples = load_split(validated, "samples")
        label_of = dict(zip(samples.lines, samples.labels, strict=True))
        labels = np.searchsorted(head.labels, [label_of[line] for line in lines])
        held_out = np.load(tuned.path / "held_out.npy", allow_pickle=False)  # calibrated logits
        probabilities = softmax(held_out.astype("f8"), axis=1)
    metrics = _metrics(probabilities, labels, head.labels, task.spec.seed) | {"evidence": evidence}
    in_scope = head.scope_scores(inside) if query.lines else head.scope.held_out
    metrics["coverage"] = float((in_scope >= head.scope_threshold).mean())
    if outside.lines:
        metrics |= _out_of_scope(in_scope, head.scope_scores(features(outside.text_ids)), head.scope_threshold)
    gates = quality_gates(metrics, task.spec.gates)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "gates.json", [gate.to_json() for gate in gates])
    _write_predictions(lines, labels, probabilities, head.labels, folder)
    return {"accuracy": metrics["accuracy"], "ece": metrics["ece"], "promote": all(gate.promote for gate in gates)}


def _metrics(probabilities: NDArray[np.float64], labels: NDArray[np.int64], names: list[str], seed: int) -> dict[str, Any]:
    import numpy as np

    from fsat_tasks.numerics.calibration import expected_calibration_error, expected_calibration_error_by_chance
    from fsat_tasks.numerics.metrics import accuracy_interval, confusion_matrix, macro_f1, recalls

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
    from fsat_tasks.numerics.scope import area_under_roc, false_positive_rate

    return {
        "oos_auroc": area_under_roc(inside, outside),
        "oos_fpr95": false_positive_rate(inside, outside),
        "oos_refused": float((outside < threshold).mean()),
    }


def _write_predictions(
    lines: list[int], labels: NDArray[np.int64], probabilities: NDArray[np.float64], names: list[str], folder: Path
) -> None:
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    from fsat_tasks.numerics.calibration import reliability_bins

    predicted = [names[i] for i in probabilities.argmax(axis=1)]
    truth = [names[i] for i in labels]
    table = {"line": lines, "label": truth, "predicted": predicted, "probability": probabilities.max(axis=1)}
    pq.write_table(pa.table(table), folder / "predictions.parquet")
    with (folder / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("actual", "predicted"), *zip(truth, predicted, strict=True)])
    with (folder / "reliability.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["confidence", "accuracy", "rows"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(reliability_bins(probabilities, labels))
