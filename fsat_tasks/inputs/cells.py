"""Check values that should be text: cells of files, and rows that users of the library pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from typing import Any

from fsat_tasks.errors import DataError

__all__ = ["TYPE_NAMES", "read_cell", "read_texts", "require_whole"]

TYPE_NAMES = {dict: "an object", list: "a list", float: "a number with a fraction", bool: "true or false"}
"""Names of types for error messages."""


def read_cell(value: object, where: str, max_characters: int) -> str | None:
    """Return a cell as text, or None if it is missing. Raises DataError if it is not valid.

    Whole numbers, true and false are text in the letters of JSON: as labels they are common and unambiguous.
    """
    if value is None:
        return None
    if isinstance(value, int):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise DataError(where, "text", TYPE_NAMES.get(type(value), type(value).__name__))
    if len(value) > max_characters:
        raise DataError(
            where,
            f"at most {max_characters:,} characters",
            f"{len(value):,}",
            "Shorten the text, or raise validation.max_characters in task.yaml.",
        )
    if "\0" in value:
        raise DataError(where, "text", "a NUL character", "The file may be UTF-16 or binary; save it as UTF-8.")
    return require_whole(value, where)


def require_whole(text: str, where: str) -> str:
    """Return a text. Raises DataError if it has half of a surrogate pair, which no file can have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(where, "text", "half of a surrogate pair", "Write the character itself, not \\u escapes.") from None
    return text


def read_texts(texts: Any, where: str) -> list[str]:
    """Check each text and return the texts as a list.

    Args:
        texts: a list, a one-dimensional array or another iterable of texts.
        where: name of the texts, for the error.

    Raises:
        DataError: if `texts` is not a list of texts, or if a row is not a text or cannot be encoded as UTF-8. The
            error names the row.
    """
    if isinstance(texts, str | bytes | Mapping | Set) or getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        fix = "Take one column, such as frame['text']." if hasattr(texts, "columns") else ""
        raise DataError(where, "a list of texts", "one text" if isinstance(texts, str) else type(texts).__name__, fix)
    rows = list(texts)
    for number, text in enumerate(rows, start=1):
        if not isinstance(text, str):
            raise DataError(f"{where}, row {number}", "a text", "none" if text is None else type(text).__name__)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}, row {number}", "a text", "half of a surrogate pair") from None
    return rows
