"""Predictions as a CSV file that has the labelled file's own columns, for people who go on in a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.records import Record
from fsat_tasks.data.formats.registry import iter_records
from fsat_tasks.data.review_cells import guard
from fsat_tasks.errors import DataError
from fsat_tasks.inputs.cells import require_whole
from fsat_tasks.inputs.formats import file_format
from fsat_tasks.store import Artefact
from fsat_tasks.store.copies import AddFiles
from fsat_tasks.targets.reading import read_number
from fsat_tasks.tasks.task import Task
from fsat_tasks.traffic.labelling import PREDICTIONS

__all__ = ["PREDICTIONS_CSV", "csv_adder", "write_predictions_csv"]

PREDICTIONS_CSV = "predictions.csv"
OWN = ("line", "text")
"""Columns of the predictions that say which row they are about. The file's own columns say so here."""
MARK = "predicted_"
"""Beginning of the name of a column of predictions if the file has a column of that name."""


def write_predictions_csv(task: Task, file: Path, predictions: Path, path: Path) -> None:
    """Write one row for each row of the file: its own columns, and then those of the predictions.

    Args:
        task: task whose champion labelled the file.
        file: the labelled file.
        predictions: predictions.parquet of the file.
        path: file to write.

    Raises:
        DataError: if the file can no longer be read, or has other rows than when it was labelled.
    """
    # a columnar file reads only the columns that are named, and all if none is
    columns = () if file_format(file) in (".parquet", ".arrow") else task.row_format().columns
    answers, heads = _answers(predictions), None
    with path.open("w", encoding="utf-8-sig", newline="") as out:  # Excel needs the byte-order mark to recognise UTF-8
        table = csv.writer(out)
        for line, record in iter_records(file, columns):
            answer = next(answers, None)
            if answer is None or answer["line"] != line:
                raise _changed(file)
            own = _own(answer)
            if heads is None:
                heads = [require_whole(name, f"{file}, line {line}, column {name!r}") for name in record]
                table.writerow([*map(guard, heads), *(_free(name, heads) for name in own)])
            cells = (require_whole(_cell(record.get(name)), f"{file}, line {line}, column {name!r}") for name in heads)
            table.writerow([*cells, *map(_cell, own.values())])
    if next(answers, None) is not None:
        raise _changed(file)


def _own(answer: Record) -> dict[str, Any]:
    """Return the columns of an answer. `label` has only what the model stands by, because people count it."""
    own = {name: value for name, value in answer.items() if name not in OWN}
    label, abstained = own.pop("label"), own["abstained"]
    return {"label": None if abstained else label, "guess": label if abstained else None, **own}


def csv_adder(task: Task, file: Path, result: Artefact) -> AddFiles:
    """Return a function that writes the CSV file beside a copy of the file's result; see `copy_result`."""

    def add(folder: Path) -> list[str]:
        write_predictions_csv(task, file, result.path / PREDICTIONS, folder / PREDICTIONS_CSV)
        return [PREDICTIONS_CSV]

    return add


def _answers(predictions: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(predictions).iter_batches():
        yield from batch.to_pylist()


def _free(name: str, heads: Sequence[str]) -> str:
    """Return a name for a column of predictions that the file has no column of."""
    while name in heads:
        name = f"{MARK}{name}"
    return name


def _cell(value: Any) -> str:
    """Return a value as a cell. A list of labels has bars between them, and a spreadsheet takes no text for a formula."""
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = "|".join(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if read_number(text) is not None else guard(text)


def _changed(file: Path) -> DataError:
    return DataError(str(file), "the rows that were labelled", "other rows", "It has changed since; label it again.")
