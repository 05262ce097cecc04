"""The tables of a task's small files, as `validate` writes them and later steps read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.readers import Rows, iter_rows
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SLICES_FILE", "SPLITS", "Split", "Tables", "write_rows", "write_slices"]

SPLITS = ("samples", "query", "out_of_scope")
"""Small files, read whole."""
ROWS_FILE, TEXTS_FILE, SLICES_FILE = "rows.parquet", "texts.parquet", "slices.parquet"
CLASSES = "classes"
"""The split that holds the class names, in label order; their features are the anchor of each class."""


@dataclass(frozen=True)
class Split:
    """Rows of one file, in its order."""

    lines: list[int]
    texts: list[str]
    labels: list[str]
    """Empty if the file has no labels."""

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, numbers: Iterable[int]) -> Split:
        """The rows with these numbers."""
        chosen = list(numbers)
        labels = [self.labels[i] for i in chosen] if self.labels else []
        return Split([self.lines[i] for i in chosen], [self.texts[i] for i in chosen], labels)

    def at_lines(self, lines: Iterable[int]) -> Split:
        """The rows on these lines, in the order of `lines`."""
        number = {line: i for i, line in enumerate(self.lines)}
        return self.at(number[line] for line in lines)

    def text_of_line(self) -> dict[int, str]:
        """Line -> text."""
        return dict(zip(self.lines, self.texts, strict=True))


class Tables:
    """The rows of a task's small files. Each table is read once.

    Args:
        validated: the artefact of the step `validate`.
    """

    def __init__(self, validated: Artefact) -> None:
        self._folder = validated.path

    @cached_property
    def texts(self) -> list[str]:
        """The different texts of all small files, class names first."""
        import pyarrow.parquet as pq

        texts: list[str] = pq.read_table(self._folder / TEXTS_FILE)["text"].to_pylist()
        return texts

    @cached_property
    def samples(self) -> Split:
        """The labelled samples."""
        return self.split("samples")

    @cached_property
    def query(self) -> Split:
        """The query rows; empty if the task has none."""
        return self.split("query")

    @cached_property
    def out_of_scope(self) -> Split:
        """Rows that belong to none of the classes; empty if the task has none."""
        return self.split("out_of_scope")

    @cached_property
    def classes(self) -> Split:
        """The class names: a row a class, `labels` sorted."""
        return self.split(CLASSES)

    def split(self, name: str) -> Split:
        """The rows of `samples`, `query`, `out_of_scope` or `classes`; empty if the task has none."""
        rows = [row for row in self._rows if row["split"] == name]
        labels = [row["label"] for row in rows if row["label"] is not None]
        return Split([row["line"] for row in rows], [self.texts[row["text_id"]] for row in rows], labels)

    def class_numbers(self, labels: list[str]) -> NDArray[np.int64]:
        """(n,) the position of each label in `classes`."""
        import numpy as np

        return np.searchsorted(self.classes.labels, labels)

    def slices(self) -> dict[tuple[str, str], list[int]]:
        """(column, value) -> lines of the query rows with that value, for the columns that task.yaml names under `slices`."""
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


def write_rows(files: Mapping[str, Rows], class_names: Mapping[str, str], folder: Path) -> int:
    """Write rows.parquet and texts.parquet.

    Args:
        files: by split.
        class_names: label -> name, in label order.

    Returns:
        The number of different texts.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids: dict[str, int] = {}
    table: dict[str, list[object]] = {"split": [], "line": [], "text_id": [], "label": []}

    def add(split: str, line: int, text: str, label: str | None) -> None:
        table["split"].append(split)
        table["line"].append(line)
        table["text_id"].append(ids.setdefault(text, len(ids)))
        table["label"].append(label)

    for number, (class_label, name) in enumerate(class_names.items()):
        add(CLASSES, number, name, class_label)
    for split, part in files.items():
        for line, text, label in zip(part.lines, part.texts, part.labels or [None] * len(part.lines), strict=True):
            if text is not None and text.strip():
                add(split, line, text, label)
    types = {"split": pa.string(), "line": pa.int64(), "text_id": pa.int64(), "label": pa.string()}
    pq.write_table(pa.table(table, schema=pa.schema(types)), folder / ROWS_FILE)
    pq.write_table(pa.table({"text": pa.array(list(ids), pa.string())}), folder / TEXTS_FILE)
    return len(ids)


def write_slices(query: Path | None, columns: list[str], max_characters: int, folder: Path) -> None:
    """Write slices.parquet: line, column and value of each query row, for the columns that make slices."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [] if query is None or not columns else iter_rows(query, columns, max_characters)
    cells = [(line, column, cell or "") for line, row in rows for column, cell in zip(columns, row, strict=True)]
    schema = pa.schema({"line": pa.int64(), "column": pa.string(), "value": pa.string()})
    records = [dict(zip(schema.names, cell, strict=True)) for cell in cells]
    pq.write_table(pa.Table.from_pylist(records, schema), folder / SLICES_FILE)
