"""All formats of files with rows, by the end of a file's name. Every verb and every key of task.yaml reads its files here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fsat_tasks.data.formats.columnar import read_arrow, read_parquet
from fsat_tasks.data.formats.csv_tables import describe_csv, read_csv
from fsat_tasks.data.formats.encodings import UTF8, encoding_name, find_encoding
from fsat_tasks.data.formats.excel import read_excel
from fsat_tasks.data.formats.json_records import read_json, read_json_lines
from fsat_tasks.data.formats.records import Reader, Record
from fsat_tasks.data.formats.text_lines import read_lines
from fsat_tasks.errors import DataError, reason
from fsat_tasks.inputs.formats import file_format

__all__ = ["describe", "find_guess", "iter_records"]

READERS: dict[str, Reader] = {
    ".arrow": read_arrow,
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".parquet": read_parquet,
    ".tsv": read_csv,
    ".txt": read_lines,
    ".xlsx": read_excel,
}
"""Format -> reader. `inputs/formats.py` lists the same formats."""
NAMES = {
    ".arrow": "Arrow",
    ".json": "JSON",
    ".jsonl": "JSON lines",
    ".parquet": "Parquet",
    ".txt": "a text a line",
    ".xlsx": "Excel",
}


def iter_records(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, Record]]:
    """Yield the line and the values of each row, by column. Large files are never in memory as a whole, and may have no rows.

    Args:
        path: file in one of the formats of READERS. Each line of a .txt file is a row with only the first column.
        columns: names of the columns that the file must have. `a.b` is the value `b` inside of the column `a`.

    Raises:
        DataError: if the file cannot be read, lacks a column, or has a line that is no record. The iteration raises it when it
            reaches the fault.
    """
    try:
        yield from READERS[file_format(path)](path, columns)
    except OSError as error:
        raise _unreadable(path, error) from None


def describe(path: Path, columns: Sequence[str] = ()) -> str:
    """Say in a few words how a file is read, such as `CSV, semicolons, Windows-1252`. Raises DataError if it cannot be read."""
    form = file_format(path)
    try:
        if form in (".csv", ".tsv"):
            return describe_csv(path, columns)
        encoding = encoding_name(find_encoding(path)) if form in (".json", ".jsonl", ".txt") else "UTF-8"
    except OSError as error:
        raise _unreadable(path, error) from None
    return NAMES[form] + ("" if encoding == "UTF-8" else f", {encoding}")


def find_guess(path: Path) -> str | None:
    """Return the name of a text file's encoding if it was guessed from the letters, or else None."""
    if file_format(path) in (".arrow", ".parquet", ".xlsx"):
        return None
    encoding = find_encoding(path)
    return None if encoding == UTF8 or encoding.startswith(("utf-16", "utf-32")) else encoding_name(encoding)


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(str(path), "a file that can be read", reason(error))
