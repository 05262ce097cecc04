"""Tables of a task's labelled and out-of-scope files. The step `validate` writes them and later steps read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fsat_tasks.data.readers import Rows, iter_cells
from fsat_tasks.inputs.modality import Input
from fsat_tasks.store import Artefact

__all__ = ["LABELLED", "SLICES_FILE", "SPLITS", "Split", "Tables", "write_rows", "write_slices"]

SPLITS = ("samples", "query", "out_of_scope")
"""Files that are small enough to be read into memory, unlike the pool."""
LABELLED = ("samples", "query")
"""Files with labels."""
ROWS_FILE, TEXTS_FILE, SLICES_FILE = "rows.parquet", "texts.parquet", "slices.parquet"
CLASSES = "classes"
"""Name of the split that holds the class anchors, in the order of the labels: rows that stand for the names of the classes."""


@dataclass(frozen=True)
class Split:
    """Rows of one split, in the file's order."""

    lines: list[int]
    inputs: list[Input]
    """The rows themselves; empty for class anchors, if no row can stand for a class."""
    labels: list[str]
    """Label of each row; empty if the split has no labels."""

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, numbers: Iterable[int]) -> Split:
        """Return the rows with these indices."""
        chosen = list(numbers)
        labels = [self.labels[i] for i in chosen] if self.labels else []
        return Split([self.lines[i] for i in chosen], [self.inputs[i] for i in chosen], labels)

    def at_lines(self, lines: Iterable[int]) -> Split:
        """Return the rows on these lines, in the order of `lines`."""
        number = {line: i for i, line in enumerate(self.lines)}
        return self.at(number[line] for line in lines)

    def by_line(self) -> dict[int, Input]:
        """Return line -> row for all rows."""
        return dict(zip(self.lines, self.inputs, strict=True))


class Tables:
    """Rows of a task's labelled and out-of-scope files. Each table is read only once.

    Args:
        validated: artefact of the step `validate`.
    """

    def __init__(self, validated: Artefact) -> None:
        self._folder = validated.path

    @cached_property
    def inputs(self) -> list[Input]:
        """All different rows, the class anchors first. A row's `text_id` is its index in this list."""
        import pyarrow.parquet as pq

        inputs: list[Input] = pq.read_table(self._folder / TEXTS_FILE)["text"].to_pylist()
        return inputs

    def encoded(self, anchors: bool) -> list[Input]:
        """Return all different rows, or only those that do not merely stand for a class, unless `anchors` is true."""
        return [self.inputs[number] for number in self.text_ids(anchors)]

    def text_ids(self, anchors: bool) -> list[int]:
        """Return the `text_id` of each row of `encoded`, in the same order."""
        own = {row["text_id"] for row in self._rows if anchors or row["split"] != CLASSES}
        return [number for number in range(len(self.inputs)) if number in own]

    def lines_of(self, text_ids: Iterable[int]) -> dict[str, list[int]]:
        """Return split -> lines of these rows, for each split of SPLITS that has one of them."""
        wanted, lines = set(text_ids), dict[str, list[int]]()
        for row in self._rows:
            if row["split"] in SPLITS and row["text_id"] in wanted:
                lines.setdefault(row["split"], []).append(row["line"])
        return lines

    @cached_property
    def samples(self) -> Split:
        """Labelled samples."""
        return self.split("samples")

    @cached_property
    def query(self) -> Split:
        """Query rows; empty if the task has none."""
        return self.split("query")

    @cached_property
    def out_of_scope(self) -> Split:
        """Out-of-scope rows; empty if the task has none."""
        return self.split("out_of_scope")

    @cached_property
    def classes(self) -> Split:
        """Class anchors, one for each class, in the order of the classes. There are none if the labels are numbers."""
        return self.split(CLASSES)

    def split(self, name: str) -> Split:
        """Return the rows of `samples`, `query`, `out_of_scope` or `classes`. If there is no such file, the split is empty."""
        rows = [row for row in self._rows if row["split"] == name]
        labels = [row["label"] for row in rows if row["label"] is not None]
        return Split(
            [row["line"] for row in rows], [self.inputs[row["text_id"]] for row in rows if row["text_id"] is not None], labels
        )

    def slices(self) -> dict[tuple[str, str], list[int]]:
        """Return (column, value) -> lines of the query rows with that value, for each slice column of task.yaml."""
        import pyarrow.parquet as pq

        members: dict[tuple[str, str], list[int]] = {}
        for row in pq.read_table(self._folder / SLICES_FILE).to_pylist():
            members.setdefault((row["column"], row["value"]), []).append(row["line"])
        return members

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(self._folder / ROWS_FILE).to_pylist()
        return rows


def write_rows(files: Mapping[str, Rows], anchors: Mapping[str, Input | None], folder: Path) -> int:
    """Write rows.parquet and texts.parquet.

    Args:
        files: split -> rows. Blank rows are left out.
        anchors: label -> class anchor, in the order of the labels; None if no row can stand for a class.
        folder: folder to write to.

    Returns:
        Number of different rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids: dict[str, int] = {}
    table: dict[str, list[object]] = {"split": [], "line": [], "text_id": [], "label": []}

    def add(split: str, line: int, row: Input | None, label: str | None) -> None:
        table["split"].append(split)
        table["line"].append(line)
        table["text_id"].append(None if row is None else ids.setdefault(row, len(ids)))
        table["label"].append(label)

    for number, (class_label, anchor) in enumerate(anchors.items()):
        add(CLASSES, number, anchor, class_label)
    for split, part in files.items():
        for line, row, label in zip(part.lines, part.inputs, part.labels or [None] * len(part.lines), strict=True):
            if row is not None:
                add(split, line, row, label)
    types = {"split": pa.string(), "line": pa.int64(), "text_id": pa.int64(), "label": pa.string()}
    pq.write_table(pa.table(table, schema=pa.schema(types)), folder / ROWS_FILE)
    pq.write_table(pa.table({"text": pa.array(list(ids), pa.string())}), folder / TEXTS_FILE)
    return len(ids)


def write_slices(query: Path | None, columns: list[str], max_characters: int, folder: Path) -> None:
    """Write slices.parquet: line, column and value of each cell in the query file's slice columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [] if query is None or not columns else iter_cells(query, columns, max_characters)
    cells = [(line, column, cell or "") for line, row in rows for column, cell in zip(columns, row, strict=True)]
    schema = pa.schema({"line": pa.int64(), "column": pa.string(), "value": pa.string()})
    records = [dict(zip(schema.names, cell, strict=True)) for cell in cells]
    pq.write_table(pa.Table.from_pylist(records, schema), folder / SLICES_FILE)
