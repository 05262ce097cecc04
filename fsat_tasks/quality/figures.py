"""Figures of a model on rows that it has not seen, whatever its target is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.types import Array

__all__ = ["measure_scope", "measure_slices", "write_csv"]


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


def measure_slices(
    lines: Sequence[int], right: NDArray[np.bool_], slices: Mapping[tuple[str, str], list[int]], seed: int
) -> list[dict[str, Any]]:
    """Measure the accuracy with its 95 % interval for each slice, the rows with one value in one column.

    Args:
        lines: lines of n rows.
        right: (n,), whether the answer to each row is right.
        slices: (column, value) -> lines of the rows with this value in this column.
        seed: seed of the draws for the intervals.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.metrics import accuracy_interval

    number = {line: i for i, line in enumerate(lines)}
    found = []
    for (column, value), lines in sorted(slices.items()):
        own = right[np.array([number[line] for line in lines])]
        low, high = accuracy_interval(own, seed)
        figures = {"rows": len(own), "accuracy": float(own.mean()), "accuracy_low": low, "accuracy_high": high}
        found.append({"column": column, "value": value, **figures})
    return found


def write_csv(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records, which have the same keys, as a CSV file. There must be at least one."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
