"""Copies of files with rows appended, in the format of each file."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fsat_tasks.data.formats.csv_layout import find_layout
from fsat_tasks.data.formats.encodings import MARKS, UTF8, encoding_name, find_encoding
from fsat_tasks.errors import DataError
from fsat_tasks.inputs.formats import file_format, one_of

__all__ = ["Record", "append_rows", "write_table"]

Record = dict[str, str | list[str]]
"""Row to append: column -> cell."""
WIDE = {
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
}
"""Byte-order mark -> encoding of what comes after it."""


def append_rows(path: Path, part: Path, rows: list[Record], columns: Sequence[str]) -> None:
    """Write a copy of a file with rows appended.

    Args:
        path: the file.
        part: the copy.
        rows: rows to append.
        columns: columns with which the file is read.

    Raises:
        DataError: if rows cannot be appended to a file of this format, or of its encoding.
    """
    form = file_format(path)
    if form not in WRITERS:
        fix = "Save it in one of these formats, and name that file in task.yaml."
        raise DataError(str(path), f"{one_of(tuple(WRITERS))}, to which rows can be appended", f"a {form} file", fix)
    WRITERS[form](path, part, rows, columns)


def write_table(path: Path, rows: list[Record], columns: Sequence[str]) -> None:
    """Write a new CSV file with some columns of the rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)


def _append_csv(path: Path, part: Path, rows: list[Record], columns: Sequence[str]) -> None:
    """Write a copy of a CSV file with rows appended. The old bytes are kept.

    In the new rows, all cells except those of the row and its label are empty.
    """
    text = _Text(path)
    old = io.StringIO(text.old, newline="").readlines()
    separator, before = find_layout(old, columns)
    header = next(cells for cells in csv.reader(old[before:], delimiter=separator) if cells)
    end = "\r\n" if "\r\n" in text.old else "\n"
    lines = []
    for row in rows:
        line = io.StringIO(newline="")
        table = csv.DictWriter(line, header, lineterminator="\r\n", delimiter=separator)
        table.writerow({name: row[name] for name in row if name in header})
        # csv writes each line with \r\n, because it would otherwise not quote a lone \r
        lines.append(line.getvalue().removesuffix("\r\n") + end)
    text.write(part, "".join(lines), end)


def _append_jsonl(path: Path, part: Path, rows: list[Record], columns: Sequence[str]) -> None:
    """Write a copy of a file of JSON lines with rows appended. The new rows have only keys of the first one, and the columns."""
    text = _Text(path)
    first = json.loads(next(line for line in text.old.split("\n") if line.strip()))
    text.write(part, "".join(f"{_object(row, first, columns)}\n" for row in rows), "\n")


def _append_json(path: Path, part: Path, rows: list[Record], columns: Sequence[str]) -> None:
    """Write a copy of a JSON array with rows appended; see `_append_jsonl`."""
    text = _Text(path)
    if not text.old.lstrip().startswith("["):
        _append_jsonl(path, part, rows, columns)
        return
    first = json.loads(text.old)[0]
    text.old = text.old.rstrip().removesuffix("]").rstrip()
    text.write(part, ",\n" + ",\n".join(_object(row, first, columns) for row in rows) + "\n]\n")


def _object(row: Record, first: Mapping[str, object], columns: Sequence[str]) -> str:
    """Return a row as a JSON object. A column such as `user.text`, which is inside of another, becomes a key of this name."""
    return json.dumps({name: row[name] for name in row if name in first or name in columns}, ensure_ascii=False)


class _Text:
    """Content of a text file, which is written again in the file's own encoding."""

    def __init__(self, path: Path) -> None:
        self._path, content = path, path.read_bytes()
        self._encoding = find_encoding(path)
        self.old = content.decode(self._encoding)
        self._mark = next((mark for mark in (codecs.BOM_UTF8, *MARKS) if content.startswith(mark)), b"")
        if self._mark in WIDE:
            self._encoding = WIDE[self._mark]  # whose encoder writes no mark
        elif self._encoding == UTF8:
            self._encoding = "utf-8"

    def write(self, part: Path, new: str, end: str = "") -> None:
        """Write the old content and more. `end` is a line end, which the old content gets if its last line has none."""
        content = self.old + (end if not self.old.endswith("\n") else "") + new
        try:
            part.write_bytes(self._mark + content.encode(self._encoding))
        except UnicodeEncodeError as error:
            got = repr(error.object[error.start])
            raise DataError(
                str(self._path), f"rows in {encoding_name(self._encoding)}", got, "Save the file as UTF-8 first."
            ) from None


def _append_parquet(path: Path, part: Path, rows: list[Record], columns: Sequence[str]) -> None:
    """Write a copy of a Parquet file, in its schema, with rows appended.

    In the new rows, all cells except those of the row and its label are null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = pq.read_table(path)
    if inner := [name for name in columns if name not in old.schema.names]:
        raise DataError(str(path), "columns that are in no other one", repr(inner[0]), "Write a file with such columns.")
    new = []
    for field in old.schema:
        cells = [row.get(field.name) for row in rows]
        values = pa.array(cells, pa.list_(pa.string()) if any(isinstance(cell, list) for cell in cells) else pa.string())
        try:
            new.append(values.cast(field.type))
        except pa.ArrowException as error:
            raise DataError(f"{path}, column {field.name!r}", f"rows that fit its type, {field.type}", str(error)) from None
        if values.null_count and not field.nullable:
            raise DataError(f"{path}, column {field.name!r}", "a column that may be empty", "one that may not")
    pq.write_table(pa.concat_tables([old, pa.table(new, schema=old.schema)]), part)


WRITERS: dict[str, Callable[[Path, Path, list[Record], Sequence[str]], None]] = {
    ".csv": _append_csv,
    ".tsv": _append_csv,
    ".json": _append_json,
    ".jsonl": _append_jsonl,
    ".parquet": _append_parquet,
}
"""Format -> function that writes a copy of a file with rows appended; see `append_rows`."""
