"""Step 4, evaluate: figures on the query rows, or on left-out samples where there are none, and the quality gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.extract import load_features
from fsat_tasks.gates import quality_gates
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, write_json
from fsat_tasks.tune import load_head
from fsat_tasks.validate import load_split

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
        "evaluate", 2,
        config={"gates": task.spec.gates.model_dump(), "seed": task.spec.seed},
        inputs={"rows": validated.sha256("rows.parquet"), "features": extracted.sha256("features.npy"), "tune": tuned.digest},
        numeric_class="numpy-cpu-fp64",
        parents={"validate": validated, "extract": extracted, "tune": tuned},
    )  # fmt: skip
    return store.build(recipe, lambda folder: _evaluate(task, validated, extracted, tuned, folder))


def _evaluate(task: Task, validated: Artefact, extracted: Artefact, tuned: Artefact, folder: Path) -> dict[str, Any]:
    import numpy as np

    head = load_head(tuned)
    features = load_features(extracted)  # (texts, layers, dim)
    query = load_split(validated, "query")
    if query.lines:
        evidence, lines = "query", query.lines
        labels = np.searchsorted(head.labels, query.labels)
        probabilities = head.probabilities(features[query.text_ids])  # (rows, classes)
    else:
        from scipy.special import softmax

        evidence, lines = "leave_one_out", head.lines
        samples = load_split(validated, "samples")
        label_of = dict(zip(samples.lines, samples.labels, strict=True))
        labels = np.searchsorted(head.labels, [label_of[line] for line in lines])
        held_out = np.load(tuned.path / "leave_one_out.npy", allow_pickle=False)
        probabilities = softmax(held_out.astype("f8") / head.temperature, axis=1)
    metrics = _metrics(probabilities, labels, head.labels, task.spec.seed) | {"evidence": evidence}
    outside = load_split(validated, "out_of_scope")
    if outside.lines:
        metrics["oos_auroc"] = _oos_auroc(probabilities, head.probabilities(features[outside.text_ids]))
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


def _oos_auroc(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """How well the top probability tells rows of the task from rows out of its scope."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    scores = np.concatenate([inside.max(axis=1), outside.max(axis=1)])
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return float(roc_auc_score(truth, scores))


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
