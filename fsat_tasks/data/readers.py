"""Readers of rows and labels. Their errors name the file, the line and the column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fsat_tasks.data.formats.lines import file_lines
from fsat_tasks.data.formats.records import Reader
from fsat_tasks.data.formats.registry import iter_records
from fsat_tasks.errors import DataError, reason
from fsat_tasks.inputs.cells import read_cell
from fsat_tasks.inputs.formats import TABLES, file_format
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.modality import Input
from fsat_tasks.targets.registered import ONE_LABEL

__all__ = ["Rows", "file_digest", "iter_cells", "iter_inputs", "read_inputs", "read_rows"]

Convert = Callable[[object, str], object]


@dataclass
class Rows:
    """Rows of one file, in the file's order."""

    file: str
    lines: list[int] = field(default_factory=list)
    """Number of each row, counted from 1: the number of its line, or of its record in a file without lines."""
    inputs: list[Input | None] = field(default_factory=list)
    """Each row; None for a blank one."""
    labels: list[str | None] = field(default_factory=list)
    """Label of each row, or None if it is missing; empty if the file has no labels."""

    def labelled(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the label of each row that has one."""
        for line, label in zip(self.lines, self.labels, strict=True):
            if label:
                yield line, label

    def required(self) -> Rows:
        """Return these rows. Raises DataError if there are none."""
        if not self.lines:
            raise DataError(self.file, "rows", "a file without any")
        return self


def read_rows(
    path: Path,
    form: RowFormat,
    label: str | None,
    convert: Convert = ONE_LABEL.convert,
    records: Reader = iter_records,
) -> Rows:
    """Read a file's rows and labels into memory.

    Args:
        path: file in any of the formats of `inputs/formats.py`.
        form: how a row is read.
        label: name of the label column, or None to read no labels.
        convert: function that takes a label and its place, and returns it as text; see `Target.convert`.
        records: function that reads the file's records.

    Raises:
        DataError: if the file cannot be read or lacks a column; if a record cannot be parsed; or if a cell is too long, is
            not valid UTF-8 or has a NUL character. The error names the file, the line and the column.
    """
    rows = Rows(str(path))
    for line, record in records(path, [*form.columns, *([] if label is None else [label])]):
        rows.lines.append(line)
        rows.inputs.append(form.read(rows.file, line, [record.get(column) for column in form.columns]))
        if label is not None:
            where = f"{path}, line {line}, column {label!r}"
            rows.labels.append(read_cell(convert(record.get(label), where), where, form.longest))
    return rows


def iter_inputs(path: Path, form: RowFormat) -> Iterator[tuple[int, Input | None]]:
    """Yield the line of each row, and the row itself, or None if it is blank. The file is never in memory as a whole.

    Raises:
        DataError: as in `read_rows`, but only when the iteration reaches the fault.
    """
    for line, record in iter_records(path, list(form.columns)):
        yield line, form.read(str(path), line, [record.get(column) for column in form.columns])


def iter_cells(path: Path, columns: list[str], longest: int) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the line and the cells of each row, as text. A missing cell is None. Raises DataError as `iter_inputs` does."""
    for line, record in iter_records(path, columns):
        yield line, [read_cell(record.get(name), f"{path}, line {line}, column {name!r}", longest) for name in columns]


def file_digest(path: Path, sha256: Callable[[Path], str]) -> str:
    """Return the sha256 of a user's file. Raises DataError if the file cannot be read.

    Args:
        sha256: function that returns a file's sha256, such as `Store.sha256`.
    """
    try:
        return sha256(path)
    except OSError as error:
        raise DataError(str(path), "a file that can be read", reason(error)) from None


def read_inputs(path: Path, form: RowFormat) -> Iterator[Input]:
    """Yield the rows of a table, or those in the lines of any other file. Raises DataError."""
    read_line = form.modality.read_line
    if file_format(path) in TABLES:
        for line, row in iter_inputs(path, form):
            yield read_line("", f"{path}, line {line}") if row is None else row
    else:
        try:
            for number, content in enumerate(file_lines(path, newline="\n"), start=1):
                yield read_line(content.rstrip("\r\n"), f"{path}, line {number}")
        except OSError as error:
            raise DataError(str(path), "a file that can be read", reason(error)) from None
