"""Figures of a model on rows that it has not seen, and tables from which plots are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.data.tables import Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.types import Array, Labels

__all__ = ["Answers", "measure", "measure_scope", "measure_slices", "write_tables"]


@dataclass(frozen=True)
class Answers:
    """Rows on which figures are measured, and the model's answers to them."""

    evidence: Literal["query", "leave_one_out"]
    rows: Split
    truth: Labels  # (n,)
    probabilities: Array  # (n, classes)
    scope: Array  # (n,)
    baseline: Labels  # (n,), answers of the frozen baseline, the linear probe on the pretrained encoder

    @property
    def right(self) -> NDArray[np.bool_]:
        """Mask (n,) of the right answers."""
        right: NDArray[np.bool_] = self.probabilities.argmax(axis=1) == self.truth
        return right


def measure(answers: Answers, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Measure accuracy with its 95 % interval, macro-F1, the weakest class, calibration error and log-loss (nats).

    Args:
        answers: rows and answers.
        names: the labels, in the order of the classes.
        seed: seed of the draws for the interval and for the calibration error that chance alone would give.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.calibration import expected_calibration_error, expected_calibration_error_by_chance
    from fsat_tasks.numerics.evidence.metrics import accuracy_interval, confusion_matrix, macro_f1, recalls

    probabilities, truth = answers.probabilities, answers.truth
    confusion = confusion_matrix(truth, probabilities.argmax(axis=1), len(names))
    low, high = accuracy_interval(answers.right, seed)
    found = recalls(confusion)
    weakest = int(np.nanargmin(found))
    chances = probabilities[np.arange(len(truth)), truth]
    return {
        "rows": len(truth),
        "accuracy": float(answers.right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "macro_f1": macro_f1(confusion),
        "min_class_recall": float(found[weakest]),
        "weakest_class": names[weakest],
        "ece": expected_calibration_error(probabilities, truth),
        "ece_by_chance": expected_calibration_error_by_chance(probabilities, seed),
        "log_loss": float(-np.mean(np.log(np.maximum(chances, np.finfo(np.float64).tiny)))),
    }


def measure_scope(inside: Array, outside: Array, threshold: float) -> dict[str, float]:
    """Measure how well the scope score separates rows of the task from rows out of its scope.

    Args:
        inside, outside: (n,) and (m,) scope scores.
        threshold: lowest score of a row that counts as in scope.
    """
    from fsat_tasks.numerics.heads.scope import area_under_roc, false_positive_rate

    return {
        "oos_auroc": area_under_roc(inside, outside),
        "oos_fpr95": false_positive_rate(inside, outside),
        "oos_refused": float((outside < threshold).mean()),
    }


def measure_slices(answers: Answers, slices: Mapping[tuple[str, str], list[int]], seed: int) -> list[dict[str, Any]]:
    """Measure the accuracy with its 95 % interval for each slice, the rows with one value in one column.

    Args:
        answers: rows and answers.
        slices: (column, value) -> line numbers of the rows with this value in this column.
        seed: seed of the draws for the intervals.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.metrics import accuracy_interval

    number = {line: i for i, line in enumerate(answers.rows.lines)}
    found = []
    for (column, value), lines in sorted(slices.items()):
        own = answers.right[np.array([number[line] for line in lines])]
        low, high = accuracy_interval(own, seed)
        figures = {"rows": len(own), "accuracy": float(own.mean()), "accuracy_low": low, "accuracy_high": high}
        found.append({"column": column, "value": value, **figures})
    return found


def write_tables(answers: Answers, names: Sequence[str], folder: Path) -> None:
    """Write predictions.parquet, and the tables of the plots: confusion.csv, reliability.csv and coverage.csv."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from fsat_tasks.numerics.evidence.calibration import reliability_bins
    from fsat_tasks.numerics.evidence.metrics import coverage_curve

    probabilities = answers.probabilities
    predicted = [names[i] for i in probabilities.argmax(axis=1)]
    truth = [names[i] for i in answers.truth]
    table = {"line": answers.rows.lines, "label": truth, "predicted": predicted, "probability": probabilities.max(axis=1)}
    pq.write_table(pa.table(table), folder / "predictions.parquet")
    pairs = [{"actual": actual, "predicted": guess} for actual, guess in zip(truth, predicted, strict=True)]
    _write_csv(folder / "confusion.csv", pairs)
    _write_csv(folder / "reliability.csv", reliability_bins(probabilities, answers.truth))
    _write_csv(folder / "coverage.csv", coverage_curve(probabilities, answers.truth))


def _write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
