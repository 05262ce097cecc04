"""Tables of a task's labelled and out-of-scope files. The step `validate` writes them and later steps read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.readers import Rows, iter_rows
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["SLICES_FILE", "SPLITS", "Split", "load_split", "load_texts", "texts_of_lines"]


SPLITS = ("samples", "query", "out_of_scope")
"""Files that are small enough to be read into memory, unlike the pool."""
SLICES_FILE = "slices.parquet"
CLASSES = "classes"
"""Split that holds the class names, in the order of the labels. Their features serve as a prior of each class."""


def _write_slices(query: Path | None, columns: list[str], longest: int, folder: Path) -> None:
    """Write slices.parquet: line, column and value of each cell in the query file's slice columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [] if query is None or not columns else iter_rows(query, columns, longest)
    cells = [(line, column, cell or "") for line, row in rows for column, cell in zip(columns, row, strict=True)]
    schema = pa.schema({"line": pa.int64(), "column": pa.string(), "value": pa.string()})
    pq.write_table(
        pa.Table.from_pylist([dict(zip(schema.names, cell, strict=True)) for cell in cells], schema), folder / SLICES_FILE
    )


def _write_tables(rows: dict[str, Rows], names: dict[str, str], folder: Path) -> int:
    """Write rows.parquet and texts.parquet, and return the number of different texts.

    Args:
        rows: split -> rows. Rows without a text are left out.
        names: label -> class name, in the order of the labels.
        folder: folder to write to.
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

    for number, (class_label, name) in enumerate(names.items()):
        add(CLASSES, number, name, class_label)
    for split, part in rows.items():
        for line, text, label in zip(part.lines, part.texts, part.labels or [None] * len(part.lines), strict=True):
            if text is not None and text.strip():
                add(split, line, text, label)
    types = {"split": pa.string(), "line": pa.int64(), "text_id": pa.int64(), "label": pa.string()}
    pq.write_table(pa.table(table, schema=pa.schema(types)), folder / "rows.parquet")
    pq.write_table(pa.table({"text": pa.array(list(ids), pa.string())}), folder / "texts.parquet")
    return len(ids)


@dataclass(frozen=True)
class Split:
    """Rows of one split, in the file's order."""

    lines: list[int]
    text_ids: NDArray[np.int64]  # (n,) positions in the list that `load_texts` returns
    labels: list[str]
    """Label of each row; empty if the split has no labels."""


def load_split(validated: Artefact, split: str) -> Split:
    """Return the rows of `samples`, `query`, `out_of_scope` or `classes`. There are none if the task has no such file."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(validated.path / "rows.parquet")
    table = table.filter(pc.equal(table["split"], split))
    labels = [label for label in table["label"].to_pylist() if label is not None]
    return Split(table["line"].to_pylist(), table["text_id"].to_numpy(), labels)


def load_texts(validated: Artefact) -> list[str]:
    """Return each different text once. A row's `text_id` is the position of its text in this list."""
    import pyarrow.parquet as pq

    texts: list[str] = pq.read_table(validated.path / "texts.parquet")["text"].to_pylist()
    return texts


def texts_of_lines(validated: Artefact, split: str) -> dict[int, str]:
    """Return line -> text for the rows of a split."""
    rows, texts = load_split(validated, split), load_texts(validated)
    return {line: texts[i] for line, i in zip(rows.lines, rows.text_ids, strict=True)}
