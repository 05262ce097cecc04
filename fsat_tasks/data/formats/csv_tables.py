"""CSV files, with any separator and in any encoding that spreadsheets write."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from fsat_tasks.data.formats.csv_layout import SEPARATOR_NAMES, find_layout
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
                require(path, columns, cells)
                header = distinct(cells)
                continue
            if len(cells) > len(header):
                fix = f"Quote texts that contain {layout.separator!r}."
                raise DataError(f"{path}, line {line}", f"{len(header)} cells", f"{len(cells)}", fix)
            yield line, dict(itertools.zip_longest(header, (cell or None for cell in cells)))
    except csv.Error as error:
        raise DataError(f"{path}, line {start}", "a CSV record", str(error)) from None
    if not header:
        wanted = f" with the columns {', '.join(map(repr, columns))}" if columns else ""
        raise DataError(str(path), f"a first line{wanted or ' with the names of the columns'}", "an empty file")


def describe_csv(path: Path, columns: Sequence[str]) -> str:
    """Say how the file is read, such as `CSV, semicolons, Windows-1252`. A plain file is `CSV`."""
    encoding = encoding_name(find_encoding(path))
    separator = find_layout(file_lines(path, newline=""), columns).separator
    words = ["CSV"]
    if separator != ",":
        words.append(SEPARATOR_NAMES.get(separator, repr(separator)))
    return ", ".join([*words, *([] if encoding == "UTF-8" else [encoding])])
