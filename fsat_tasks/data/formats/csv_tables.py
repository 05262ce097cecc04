"""CSV files, with any separator and in any encoding that spreadsheets write."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from fsat_tasks.data.formats.csv_layout import SEPARATOR_NAMES, find_layout, one_column
from fsat_tasks.data.formats.encodings import encoding_name, find_encoding
from fsat_tasks.data.formats.lines import LONGEST_LINE, file_lines, no_end
from fsat_tasks.data.formats.records import Record, distinct, require
from fsat_tasks.errors import DataError

__all__ = ["describe_csv", "read_csv"]


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the line on which each record begins, and the record. An empty cell is None."""
    csv.field_size_limit(2**31 - 1)  # the length is checked later, with a better message
    layout = find_layout(file_lines(path, newline=""), columns)
    start, size = layout.before + 1, 0  # the line on which the present record starts, and its number of characters so far

    def lines() -> Iterator[str]:
        nonlocal size
        for line in file_lines(path, newline=""):
            size += len(line)
            if size > LONGEST_LINE:  # a quote that nobody closes takes in the rest of the file
                raise no_end(f"{path}, line {start}")
            yield line

    reader = csv.reader(itertools.islice(lines(), layout.before, None), strict=True, delimiter=layout.separator)
    header: list[str] = []
    try:
        for cells in reader:
            line, start, size = start, layout.before + reader.line_num + 1, 0
            if not cells:
                continue  # a blank line
            if not header:
                if not set(columns) <= set(cells) and (fix := one_column(cells)):
                    wanted = f"the column{'s' if len(columns) > 1 else ''} {', '.join(map(repr, columns))}"
                    raise DataError(str(path), wanted, f"the single column {cells[0]!r}", fix)
                require(path, columns, cells)
                header = distinct(cells)
                continue
            if len(cells) > len(header):
                raise DataError(f"{path}, line {line}", *_too_many(cells, header, layout.separator))
            yield line, dict(itertools.zip_longest(header, (cell or None for cell in cells)))
    except csv.Error as error:
        raise DataError(f"{path}, line {start}", "a CSV record", str(error)) from None
    if not header:
        wanted = f" with the columns {', '.join(map(repr, columns))}" if columns else ""
        raise DataError(str(path), f"a first line{wanted or ' with the names of the columns'}", "an empty file")


def _too_many(cells: Sequence[str], header: Sequence[str], separator: str) -> tuple[str, str, str]:
    """Return what was expected of a line with more cells than the header, what was found, and what to do."""
    fix = f"Quote texts that contain {separator!r}."
    if len(header) > 1:
        return f"{len(header)} cells", f"{len(cells)}", fix
    return (
        f"1 cell, as in the first line, which was read as the single column {header[0]!r}",
        f"{len(cells)}",
        (one_column(header) or fix),
    )


def describe_csv(path: Path, columns: Sequence[str]) -> str:
    """Say how the file is read, such as `CSV, semicolons, Windows-1252`. A plain file is `CSV`."""
    encoding = encoding_name(find_encoding(path))
    separator = find_layout(file_lines(path, newline=""), columns).separator
    words = ["CSV"]
    if separator != ",":
        words.append(SEPARATOR_NAMES.get(separator, repr(separator)))
    return ", ".join([*words, *([] if encoding == "UTF-8" else [encoding])])
