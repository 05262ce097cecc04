"""Excel workbooks (.xlsx): the first sheet that has rows. Its first row that is not empty has the names of the columns."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.records import Record, distinct, require, with_columns
from fsat_tasks.errors import DataError
from fsat_tasks.runtime.regular_file import check_regular

__all__ = ["read_excel"]

LARGEST_CONTENT = 1 << 28
"""Maximum number of bytes of all parts of a workbook together, unpacked. A small file may unpack to gigabytes (a zip bomb)."""
LAST_ROW = 1 << 20
"""Last row that Excel itself has."""
LAST_COLUMN = 1 << 14
"""Last column that Excel itself has."""


def read_excel(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the number and the values of each row that is not empty. Dates are text, and formulas are their last results."""
    _refuse_bombs(path)
    header: list[str] = []
    for number, cells in _cells(path):
        if not header:
            header = ["" if cell is None else str(cell) for cell in cells]
            while not header[-1]:
                header.pop()
            require(path, columns, header)
            header = distinct(header)
            continue
        more = [cell for cell in cells[len(header) :] if cell is not None]
        if more:
            raise DataError(f"{path}, line {number}", f"{len(header)} cells", "more", "Give each column a name in the first row.")
        record = dict.fromkeys(header) | dict(zip(header, cells, strict=False))
        record.pop("", None)  # a column without a name
        yield number, with_columns(record, columns, f"{path}, line {number}")
    if not header:
        raise DataError(str(path), "a first row with the names of the columns", "a workbook without any")


def _refuse_bombs(path: Path) -> None:
    """Raise DataError if a workbook is no zip file, or takes too much memory. zipfile unpacks no more than it has stated."""
    try:
        with zipfile.ZipFile(check_regular(path)) as parts:
            size = sum(part.file_size for part in parts.infolist())
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from None
    if size > LARGEST_CONTENT:
        fix = "Save the sheet as CSV UTF-8."
        raise DataError(str(path), f"a workbook of at most {LARGEST_CONTENT:,} bytes, unpacked", f"{size:,}", fix)


def _cells(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Yield the number and the cells of each row that is not empty, of the first sheet that has one."""
    import openpyxl

    book = None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # a file may state any dimensions
            found = False
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                if number > LAST_ROW or len(row) > LAST_COLUMN:
                    raise DataError(f"{path}, line {number}", "rows and columns that Excel has", "one beyond them")
                cells = [_plain(cell) for cell in row]
                if any(cell is not None for cell in cells):
                    found = True
                    yield number, cells
            if found:
                return
    except (DataError, OSError, MemoryError):
        raise
    except Exception as error:  # on damaged workbooks the parser fails in many ways, such as with a KeyError or a ParseError
        raise _damaged(path, error) from None
    finally:
        if book is not None:
            book.close()


def _plain(cell: Any) -> Any:
    """Return a cell as a value of JSON; an empty one is None."""
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta):
        return cell.isoformat() if not isinstance(cell, datetime.timedelta) else str(cell)
    return None if cell == "" else cell


def _damaged(path: Path, error: Exception) -> DataError:
    got = f"{type(error).__name__}: {error}".split("\n")[0]
    return DataError(str(path), "a readable Excel workbook", got, "It may be damaged; save it again, or as CSV UTF-8.")
