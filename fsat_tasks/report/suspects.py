"""Samples whose label is probably wrong: the page's table of them, and the same rows as a CSV file for a spreadsheet."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from fsat_tasks.data.review_cells import guard
from fsat_tasks.tasks.task import Task

__all__ = ["label_errors", "several_label_errors", "suspects_link"]

Row = dict[str, Any]
SHOWN = 25
"""Maximum number of suspected label errors that are shown. The surest errors come first, and the file has all of them."""
HOW = (
    "By confident learning: a model that had not seen the sample is as confident of the other class as it usually is, and holds "
    "that class to be at least 20 times likelier than the label given."
)
HOW_FOR_EACH_LABEL = (
    "By confident learning, for each label alone: a model that had not seen the sample is as confident as it usually is that the "
    "label belongs there, or does not, and holds this to be at least 20 times likelier than what the sample says."
)


def label_errors(samples: Sequence[Row], labels: list[str]) -> Row:
    """Find the samples whose label is probably wrong. The surest errors come first."""
    import numpy as np

    from fsat_tasks.numerics.evidence.label_errors import suspected_label_errors

    probabilities = np.stack([row["outputs"] for row in samples])
    given = np.array([labels.index(row["label"]) for row in samples])
    rows, likelier = suspected_label_errors(probabilities, given)
    found = [
        {
            **samples[i],
            "likelier": labels[j],
            "probability": float(probabilities[i, j]),
            "given": float(probabilities[i, given[i]]),
        }
        for i, j in zip(rows, likelier, strict=True)
    ]
    return _suspects(found, len(samples), HOW)


def several_label_errors(samples: Sequence[Row], labels: list[str], parts: Callable[[str], Sequence[str]]) -> Row:
    """Find the samples of which a label is probably missing or wrong. The surest errors come first.

    Each label is judged alone: it is there or not there.

    Args:
        samples: rows of `sample_rows`.
        labels: the classes, in the order of the outputs.
        parts: returns the classes that a label names.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.label_errors import suspected_mistakes

    probabilities = np.stack([row["outputs"] for row in samples])
    given = np.array([[label in parts(row["label"]) for label in labels] for row in samples], np.int64)
    found = [
        {
            **samples[one.row],
            "label": ", ".join(parts(samples[one.row]["label"])),
            "likelier": f"{'also' if one.lacks else 'without'} {labels[one.column]}",
            "probability": one.probability,
            "given": 1.0 - one.probability,
        }
        for one in suspected_mistakes(probabilities, given)
    ]
    return _suspects(found, len(samples), HOW_FOR_EACH_LABEL)


def _suspects(found: list[Row], samples: int, how: str) -> Row:
    lines = {row["line"] for row in found}
    return {"count": len(lines), "of": samples, "rows": found[:SHOWN], "all": found, "how": how}


def suspects_link(suspects: Row, task: Task) -> str:
    """Return a data URI of a CSV file with all suspected samples, in the form of review.csv (`traffic.review`)."""
    file = io.StringIO()
    table = csv.writer(file, quoting=csv.QUOTE_ALL)
    table.writerow(["line", *task.modality.columns(task.spec.text), "label", "likelier", "probability"])
    for row in suspects["all"]:
        cells = [*task.modality.cells(row["input"]), row["label"], row["likelier"]]
        table.writerow([row["line"], *map(guard, cells), f"{row['probability']:.4f}"])
    content = base64.b64encode(file.getvalue().encode("utf-8-sig")).decode()  # Excel needs the byte-order mark
    return f"data:text/csv;charset=utf-8;base64,{content}"
