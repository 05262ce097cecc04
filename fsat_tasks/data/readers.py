"""Readers of CSV, JSON lines, Parquet and text files. Their errors name the file, the line and the column."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsat_tasks.errors import DataError

__all__ = ["Rows", "iter_rows", "read_lines", "read_rows", "read_texts"]

PARQUET_ROWS = 4096
"""Number of rows of a Parquet file in memory at a time."""
RIGHT_COLUMN = "Name the right column: `text` and `label` in task.yaml, or the option."

type_name = {dict: "an object", list: "a list", float: "a number with a fraction", bool: "true or false"}
"""Names of types for error messages."""


@dataclass
class Rows:
    """Rows of one file, in the file's order. A missing cell is None."""

    file: str
    lines: list[int] = field(default_factory=list)
    """Number of each row, counted from 1: the number of its record in a Parquet file, or else the number of its line."""
    texts: list[str | None] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    """Label of each row; empty if the file has no labels."""


def read_rows(path: Path, text: str, label: str | None, max_characters: int) -> Rows:
    """Read a file's texts and labels into memory.

    Args:
        path: .csv, .jsonl, .parquet or .txt file.
        text: name of the text column.
        label: name of the label column, or None to read no labels.
        max_characters: maximum length of a cell.

    Raises:
        DataError: if the file cannot be read, has no rows or lacks a column; if a record cannot be parsed; or
            if a cell is too long, is not valid UTF-8 or has a NUL character. The error names the file, the line
            and the column.
    """
    rows = Rows(str(path))
    for line, cells in iter_rows(path, [text] if label is None else [text, label], max_characters):
        rows.lines.append(line)
        rows.texts.append(cells[0])
        if label is not None:
            rows.labels.append(cells[1])
    return rows


def iter_rows(path: Path, columns: list[str], max_characters: int) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the line and the cells of each row. The file is never in memory as a whole.

    Args:
        path: .csv, .jsonl, .parquet or .txt file. Each line of a .txt file is a row with only the first column.
        columns: names of the columns to read.
        max_characters: maximum length of a cell.

    Raises:
        DataError: as in `read_rows`, but only when the iteration reaches the fault.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(str(path), "rows", "an empty file")
        some = False
        for line, record in {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet, ".txt": _txt}[path.suffix](path, columns):
            yield line, [_cell(path, line, column, record.get(column), max_characters) for column in columns]
            some = True
        if not some:
            raise DataError(str(path), "rows", "a file without any")
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except OSError as error:
        raise DataError(str(path), "a file that can be read", error.strerror or str(error)) from None


def _cell(path: Path, line: int, column: str, value: object, max_characters: int) -> str | None:
    """Return a cell as text, or None if it is missing. Raises DataError if it is not valid."""
    where = f"{path}, line {line}, column {column!r}"
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # numeric labels are common and unambiguous
    if not isinstance(value, str):
        raise DataError(where, "text", type_name.get(type(value), type(value).__name__))
    if len(value) > max_characters:
        raise DataError(
            where,
            f"at most {max_characters:,} characters",
            f"{len(value):,}",
            "Shorten the text, or raise validation.max_characters in task.yaml.",
        )
    if "\0" in value:
        raise DataError(where, "text", "a NUL character", "The file may be UTF-16 or binary; save it as UTF-8.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(where, "text", "half of a surrogate pair", "Write the character itself, not \\u escapes.") from None
    return value


def _not_utf8(path: Path) -> DataError:
    """Return an error that names the first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                got = f"the byte 0x{line[error.start]:02x}"
                return DataError(f"{path}, line {number}", "UTF-8", got, "Save the file as UTF-8.")
    return DataError(str(path), "UTF-8", "other bytes", "Save the file as UTF-8.")


def _require(path: Path, columns: list[str], found: list[str]) -> None:
    """Raise DataError unless each of the columns is found exactly once."""
    for column in columns:
        if found.count(column) > 1:
            raise DataError(str(path), f"one column {column!r}", f"{found.count(column)} of that name")
        if column not in found:
            raise DataError(
                str(path),
                f"a column {column!r}",
                f"the columns {', '.join(map(repr, found)) or 'none'}",
                RIGHT_COLUMN,
            )


def _csv(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(2**31 - 1)  # _cell checks the length, with a better message
    header: list[str] = []
    line = 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            for cells in reader:
                start, line = line, reader.line_num + 1
                if not cells:
                    continue  # a blank line
                if not header:
                    header = cells
                    _require(path, columns, header)
                    continue
                if len(cells) > len(header):
                    raise DataError(
                        f"{path}, line {start}", f"{len(header)} cells", f"{len(cells)}", "Quote texts that contain commas."
                    )
                yield start, {name: cell or None for name, cell in zip(header, cells, strict=False)}
        except csv.Error as error:
            raise DataError(f"{path}, line {line}", "a CSV record", str(error)) from None


def _jsonl(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for line, content in enumerate(file, start=1):
            if not content.strip():
                continue
            try:
                record = json.loads(content)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {line}", "a JSON object", str(error)) from None
            if not isinstance(record, dict):
                raise DataError(f"{path}, line {line}", "a JSON object", type_name.get(type(record), type(record).__name__))
            _require_keys(path, line, columns, record)
            yield line, record


def _txt(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for line, content in enumerate(file, start=1):
            yield line, {columns[0]: content.rstrip("\r\n") or None}


def _require_keys(path: Path, line: int, columns: list[str], record: dict[str, Any]) -> None:
    for column in columns:
        if column not in record:
            raise DataError(
                f"{path}, line {line}",
                f"the key {column!r}",
                f"the keys {', '.join(map(repr, record)) or 'none'}",
                RIGHT_COLUMN,
            )


def _parquet(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = 1
    try:
        file = pq.ParquetFile(path, buffer_size=1 << 20)  # without a buffer, a row group's column is read in one piece
        _require(path, columns, file.schema_arrow.names)
        for batch in file.iter_batches(PARQUET_ROWS, columns=columns):
            batch.validate(full=True)  # reports bytes that are not UTF-8; reading alone reports nothing
            yield from enumerate(batch.to_pylist(), start=line)
            line += len(batch)
    except (pa.ArrowException, OSError) as error:
        where = f"{path}, from line {line}" if line > 1 else str(path)
        raise DataError(where, "a readable Parquet file", str(error).split("\n")[0], "It may be cut off or damaged.") from None


def read_texts(path: Path, column: str) -> Iterator[str]:
    """Yield the texts in a column of a .csv, .jsonl or .parquet file, or the lines of any other file."""

    if path.suffix in (".csv", ".jsonl", ".parquet"):
        yield from (text or "" for text in read_rows(path, column, None, 2**31).texts)
    else:
        with path.open("rb") as file:
            yield from read_lines(file, str(path))


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode UTF-8 lines and yield them without their line ends.

    Args:
        lines: lines as bytes.
        name: name of their source, for the error.

    Raises:
        DataError: if a line is not UTF-8. The error names the line.
    """
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            got = f"the byte 0x{line[error.start]:02x}"
            raise DataError(f"{name}, line {number}", "UTF-8", got, "Save it as UTF-8.") from None
