"""Folders of text files: one folder for each class, one file for each text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fsat_tasks.data.formats.encodings import find_encoding
from fsat_tasks.data.formats.records import Record
from fsat_tasks.errors import DataError
from fsat_tasks.runtime.regular_file import TooLargeError, read_regular

__all__ = ["has_texts", "read_folders"]

LARGEST_TEXT = 1_000_000
"""Maximum number of bytes of a text file."""


def has_texts(folder: Path) -> bool:
    """Return whether a folder has folders with text files."""
    return next(folder.glob("*/*.txt"), None) is not None


def read_folders(folder: Path) -> Iterator[Record]:
    """Yield the text of each file FOLDER/CLASS/*.txt, the class, and the file's name."""
    for path in sorted(folder.glob("*/*.txt")):
        if not path.name.startswith("."):
            yield {"text": _read(path), "label": path.parent.name, "file": path.relative_to(folder).as_posix()}


def _read(path: Path) -> str:
    try:
        content = read_regular(path, LARGEST_TEXT)
    except TooLargeError:
        raise DataError(str(path), f"a text of at most {LARGEST_TEXT:,} bytes", "more", "Is it one text?") from None
    encoding = find_encoding(path)
    try:
        return content.decode(encoding).strip()
    except UnicodeDecodeError as error:
        raise DataError(str(path), encoding, f"the byte 0x{content[error.start]:02x}", "Save it as UTF-8.") from None
