"""Formats of the files that rows are read from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["FORMATS", "TABLES", "file_format", "one_of"]

TABLES = (".csv", ".tsv", ".xlsx", ".json", ".jsonl", ".parquet", ".arrow")
"""Formats with named columns."""
FORMATS = (*TABLES, ".txt")
"""All formats that rows are read from."""


def file_format(path: Path) -> str:
    """Return the format of a file: the end of its name in small letters, such as `.csv` for `X.CSV`."""
    return path.suffix.lower()


def one_of(formats: Sequence[str]) -> str:
    """Return the formats in words, for an error: `a .csv or .jsonl file`."""
    return f"a {', '.join(formats[:-1])} or {formats[-1]} file"
