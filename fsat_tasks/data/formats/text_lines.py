"""Text files in which each line is a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fsat_tasks.data.formats.lines import file_lines
from fsat_tasks.data.formats.records import Record
from fsat_tasks.errors import DataError

__all__ = ["read_lines"]


def read_lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield each line's number and a record with one column: the first that is asked for, or `text`."""
    if len(columns) > 1:
        raise DataError(str(path), f"the columns {', '.join(map(repr, columns))}", "a .txt file, which has one column")
    column = columns[0] if columns else "text"
    for line, content in enumerate(file_lines(path, newline="\n"), start=1):
        yield line, {column: content.rstrip("\r\n") or None}
