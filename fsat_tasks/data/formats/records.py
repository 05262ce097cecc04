"""Records of files: what the readers of all formats yield. A column may be inside of another, such as `user.text`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fsat_tasks.errors import ColumnError, DataError

__all__ = ["Reader", "Record", "distinct", "parse_json", "require", "single", "with_columns"]

_MISSING = object()

Record = dict[str, Any]
"""Record of a file: column -> value. A record of a table has all columns of the file; see `distinct`."""
Reader = Callable[[Path, Sequence[str]], Iterator[tuple[int, Record]]]
"""Function that takes a file and the columns that it must have, and yields the line and the record of each row."""


def with_columns(record: Record, columns: Sequence[str], where: str) -> Record:
    """Return a record with these columns: a column `a.b` that it lacks is the value `b` inside of its value `a`.

    Raises:
        DataError: if the record has no such value.
    """
    inner = {}
    for column in columns:
        if column not in record:
            inner[column] = _look_up(record, column.split("."))
            if inner[column] is _MISSING:
                raise ColumnError(where, column, list(record), noun="key")
    return {**record, **inner} if inner else record


def _look_up(value: Any, names: list[str]) -> Any:
    """Return the value at the end of a chain of keys. Of a list, these are the values in its elements."""
    if not names:
        return value
    if isinstance(value, list):
        found = [_look_up(one, names) for one in value]
        return _MISSING if _MISSING in found else found
    if isinstance(value, dict) and names[0] in value:
        return _look_up(value[names[0]], names[1:])
    return None if value is None else _MISSING


def single(value: Any) -> Any:
    """Return the only element of a list, None for an empty list, and any other value as it is."""
    if isinstance(value, list) and len(value) < 2:
        return value[0] if value else None
    return value


def require(path: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    """Raise DataError unless each of the columns, or the one that it is inside of, is found exactly once."""
    for column in columns:
        own = column if column in found else column.split(".")[0]
        if found.count(own) > 1:
            raise DataError(str(path), f"one column {own!r}", f"{found.count(own)} of that name")
        if own not in found:
            raise ColumnError(str(path), column, found)


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names of a table's columns, so that no column hides another: a name that comes again gets a number, `a (2)`.

    Columns without a name stay without one.
    """
    given, found, seen = set(names), dict[str, None](), Counter[str]()
    for name in filter(None, names):
        own = name
        while own in found or (own != name and own in given):
            seen[name] += 1
            own = f"{name} ({seen[name] + 1})"
        found[own] = None
    others = iter(found)
    return [name and next(others) for name in names]


def parse_json(content: str) -> Any:
    """Return a JSON value. Raises ValueError if it is none, has a key twice or is too deep."""
    try:
        return json.loads(content, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("too many values inside of values") from None


def _object(pairs: list[tuple[str, Any]]) -> Record:
    """Return the dictionary of a JSON object. Raises ValueError if a key comes twice, because one of its values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} twice")
    return found
