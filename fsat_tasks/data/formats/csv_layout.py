"""Layout of a CSV file: the character between its cells, and the lines before its header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["SEPARATOR_NAMES", "Layout", "find_layout", "one_column"]

SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "^": "carets", "~": "tildes"}
"""Character that may be between cells -> its name. Excel writes the second one where the comma is the decimal point."""


class Layout(NamedTuple):
    """Layout of a CSV file."""

    separator: str
    """Character between cells."""
    before: int
    """Number of lines before the header."""


def find_layout(lines: Iterable[str], columns: Sequence[str]) -> Layout:
    """Return the layout of a CSV file.

    If the first line is `sep=` with a character, this character separates the cells, as in Excel. Otherwise the separator is the
    first of SEPARATOR_NAMES that makes the header have all the columns. If none does, it is the one that makes the header have
    the most cells. Only the header decides, because names of columns hardly ever have separators in them, and texts have many.

    Args:
        lines: lines of the file, of which those up to the header are read.
        columns: columns that the file must have.
    """
    for number, line in enumerate(lines, start=1):
        if named := re.fullmatch(r'"?sep=(.)"?[\r\n]*', line, re.IGNORECASE):
            return Layout(named[1], number)
        if line.strip("\r\n"):
            return Layout(_separator(line, columns), 0)
    return Layout(",", 0)


def one_column(header: Sequence[str]) -> str:
    """Say what to do if a header was read as one column and may be several; empty if it has no sign that may separate them."""
    if len(header) != 1 or not (signs := re.findall(r"[^\w\s.()-]", header[0])):
        return ""
    known = ", ".join(SEPARATOR_NAMES.values())
    return (
        f"If {signs[0]!r} is between its columns, write a line sep={signs[0]} before it, or save the file with another "
        f"separator. Known are {known}."
    )


def _separator(header: str, columns: Sequence[str]) -> str:
    found = {separator: _cells(header, separator) for separator in SEPARATOR_NAMES}
    right = [separator for separator, cells in found.items() if columns and set(columns) <= set(cells)]
    return right[0] if right else max(found, key=lambda separator: len(found[separator]))


def _cells(line: str, separator: str) -> list[str]:
    """Return the cells of a line, or none if it is not a whole record."""
    try:
        return next(csv.reader([line], strict=True, delimiter=separator))
    except csv.Error:
        return []
