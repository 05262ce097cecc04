"""JSON lines, and JSON files that are one array of objects or another document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.lines import file_lines
from fsat_tasks.data.formats.records import Record, parse_json, with_columns
from fsat_tasks.errors import DataError
from fsat_tasks.inputs.cells import TYPE_NAMES

__all__ = ["load_json", "read_json", "read_json_lines"]

LARGEST_FILE = 1 << 27
"""Maximum number of characters of a file that is one JSON value, because it is in memory as a whole."""


def read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number of each line that is not blank, and its object."""
    for line, content in enumerate(file_lines(path, newline="\n"), start=1):
        if content.strip():
            where = f"{path}, line {line}"
            try:
                record = parse_json(content)
            except ValueError as error:
                raise DataError(where, "a JSON object", str(error)) from None
            yield line, with_columns(_object(record, where), columns, where)


def read_json(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number of each object of a JSON array, and the object. A file that begins with an object is JSON lines."""
    first = next((line for line in file_lines(path, newline="\n") if line.strip()), "")
    if not first.lstrip().startswith("["):
        yield from read_json_lines(path, columns)
        return
    for number, record in enumerate(load_json(path), start=1):
        where = f"{path}, record {number}"
        yield number, with_columns(_object(record, where), columns, where)


def load_json(path: Path) -> Any:
    """Return the one JSON value of a file. Raises DataError if it is none or too large."""
    size, parts = 0, []
    for line in file_lines(path, newline="\n"):
        size += len(line)
        if size > LARGEST_FILE:
            fix = "Write it as JSON lines: one object a line."
            raise DataError(str(path), f"at most {LARGEST_FILE:,} characters in one JSON value", "more", fix)
        parts.append(line)
    try:
        return parse_json("".join(parts))
    except ValueError as error:
        raise DataError(str(path), "a JSON array of objects, or one JSON object a line", str(error)) from None


def _object(value: Any, where: str) -> Record:
    if not isinstance(value, dict):
        raise DataError(where, "a JSON object", TYPE_NAMES.get(type(value), type(value).__name__))
    return value
