"""Read CSV, JSON lines, Parquet and text files, and say where a file is wrong."""

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
"""Rows of a Parquet file that are in memory at a time."""
RIGHT_COLUMN = "Name the right column: `text` and `label` in task.yaml, or the option."

type_name = {dict: "an object", list: "a list", float: "a number with a fraction", bool: "true or false"}


@dataclass
class Rows:
    """The rows of one file, in its order. A missing cell is None."""

    file: str
    lines: list[int] = field(default_factory=list)
    """Where each row is: the line in CSV and JSON lines, the record in Parquet; from 1."""
    texts: list[str | None] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    """Empty where the file has no labels."""


def read_rows(path: Path, text: str, label: str | None, max_characters: int) -> Rows:
    """Read the columns `text` and, unless it is None, `label`.

    Raises:
        DataError: for a file that cannot be read, an empty file, a missing column, bytes that are not UTF-8, NUL bytes, a
            cell longer than `max_characters`, or a record that cannot be parsed; it names the file, the line and the column.
    """
    rows = Rows(str(path))
    for line, cells in iter_rows(path, [text] if label is None else [text, label], max_characters):
        rows.lines.append(line)
        rows.texts.append(cells[0])
        if label is not None:
            rows.labels.append(cells[1])
    return rows


def iter_rows(path: Path, columns: list[str], max_characters: int) -> Iterator[tuple[int, list[str | None]]]:
    """Line and cells of each row; the file is never in memory as a whole. In a .txt file each line is a row of the first column.

    Raises:
        DataError: as `read_rows`, once the iterator comes to what is wrong.
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
    """Where the bytes of a file stop to be UTF-8; no character of it spans lines."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                got = f"the byte 0x{line[error.start]:02x}"
                return DataError(f"{path}, line {number}", "UTF-8", got, "Save the file as UTF-8.")
    return DataError(str(path), "UTF-8", "other bytes", "Save the file as UTF-8.")


def _require(path: Path, columns: list[str], found: list[str]) -> None:
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
    csv.field_size_limit(2**31 - 1)  # _cell has the bound, with a better message
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
        file = pq.ParquetFile(path, buffer_size=1 << 20)  # else a whole column of a row group is read at once
        _require(path, columns, file.schema_arrow.names)
        for batch in file.iter_batches(PARQUET_ROWS, columns=columns):
            batch.validate(full=True)  # names bytes that are not UTF-8, which reading them would not
            yield from enumerate(batch.to_pylist(), start=line)
            line += len(batch)
    except (pa.ArrowException, OSError) as error:
        where = f"{path}, from line {line}" if line > 1 else str(path)
        raise DataError(where, "a readable Parquet file", str(error).split("\n")[0], "It may be cut off or damaged.") from None


def read_texts(path: Path, column: str) -> Iterator[str]:
    """Texts of a .csv, .jsonl or .parquet file's column, or the lines of any other file."""

    if path.suffix in (".csv", ".jsonl", ".parquet"):
        yield from (text or "" for text in read_rows(path, column, None, 2**31).texts)
    else:
        with path.open("rb") as file:
            yield from read_lines(file, str(path))


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[str]:
    """Lines of UTF-8 without their ends. Raises DataError, which names the line, where they are something else."""
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            got = f"the byte 0x{line[error.start]:02x}"
            raise DataError(f"{name}, line {number}", "UTF-8", got, "Save it as UTF-8.") from None
