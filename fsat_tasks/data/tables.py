"""Tables of a task's labelled and out-of-scope files. The step `validate` writes them and later steps read them."""

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
"""Files that are small enough to be read into memory, unlike the pool."""
ROWS_FILE, TEXTS_FILE, SLICES_FILE = "rows.parquet", "texts.parquet", "slices.parquet"
CLASSES = "classes"
"""Name of the split that holds the class names, in the order of the labels. The features of the names are the class anchors."""


@dataclass(frozen=True)
class Split:
    """Rows of one split, in the file's order."""

    lines: list[int]
    texts: list[str]
    labels: list[str]
    """Label of each row; empty if the split has no labels."""

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, numbers: Iterable[int]) -> Split:
        """Return the rows with these indices."""
        chosen = list(numbers)
        labels = [self.labels[i] for i in chosen] if self.labels else []
        return Split([self.lines[i] for i in chosen], [self.texts[i] for i in chosen], labels)

    def at_lines(self, lines: Iterable[int]) -> Split:
        """Return the rows on these lines, in the order of `lines`."""
        number = {line: i for i, line in enumerate(self.lines)}
        return self.at(number[line] for line in lines)

    def text_of_line(self) -> dict[int, str]:
        """Return line -> text for all rows."""
        return dict(zip(self.lines, self.texts, strict=True))


class Tables:
    """Rows of a task's labelled and out-of-scope files. Each table is read only once.

    Args:
        validated: artefact of the step `validate`.
    """

    def __init__(self, validated: Artefact) -> None:
        self._folder = validated.path

    @cached_property
    def texts(self) -> list[str]:
        """All different texts, the class names first. A row's `text_id` is the index of its text in this list."""
        import pyarrow.parquet as pq

        texts: list[str] = pq.read_table(self._folder / TEXTS_FILE)["text"].to_pylist()
        return texts

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
        """Class names, one row per class, sorted by label."""
        return self.split(CLASSES)

    def split(self, name: str) -> Split:
        """Return the rows of `samples`, `query`, `out_of_scope` or `classes`. If there is no such file, the split is empty."""
        rows = [row for row in self._rows if row["split"] == name]
        labels = [row["label"] for row in rows if row["label"] is not None]
        return Split([row["line"] for row in rows], [self.texts[row["text_id"]] for row in rows], labels)

    def class_numbers(self, labels: list[str]) -> NDArray[np.int64]:
        """Return the class index of each label, (n,)."""
        import numpy as np

        return np.searchsorted(self.classes.labels, labels)

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


def write_rows(files: Mapping[str, Rows], class_names: Mapping[str, str], folder: Path) -> int:
    """Write rows.parquet and texts.parquet.

    Args:
        files: split -> rows. Rows without a text are left out.
        class_names: label -> class name, in the order of the labels.
        folder: folder to write to.

    Returns:
        Number of different texts.
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
    """Write slices.parquet: line, column and value of each cell in the query file's slice columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [] if query is None or not columns else iter_rows(query, columns, max_characters)
    cells = [(line, column, cell or "") for line, row in rows for column, cell in zip(columns, row, strict=True)]
    schema = pa.schema({"line": pa.int64(), "column": pa.string(), "value": pa.string()})
    records = [dict(zip(schema.names, cell, strict=True)) for cell in cells]
    pq.write_table(pa.Table.from_pylist(records, schema), folder / SLICES_FILE)
