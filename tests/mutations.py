"""Strategies that damage a JSON file as disks, editors and enemies do."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

HOSTILE: st.SearchStrategy[Any] = st.sampled_from(
    [
        *("", ".", "..", "../victim", "../../victim", "/etc", "a/b", "a\0b", "\ud800", "x" * 300, "0" * 64, "export", "publish"),
        *(None, True, False, 0, -1, 1, 2, 10**30, 1e308, float("nan"), float("inf"), [], {}, [[]], {"step": "..", "key": ".."}),
    ]
)
"""Values that a field of a file may have although no field may."""


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all values in a JSON value, the whole first."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, part in below for place in places(part, (*path, name)))]


def put(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """Return a JSON value with another value at a path."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


def drop(value: Any, path: tuple[Any, ...]) -> Any:
    """Return a JSON value without the value at a path."""
    copy = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = drop(value[path[0]], path[1:])
    return copy


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a file's content with a cut, a flipped bit, a part that is repeated, or other bytes in place of some."""
    at, length = draw(st.integers(0, len(content))), draw(st.integers(0, 40))
    return draw(
        st.sampled_from(
            [
                content[:at],
                content[at:],
                content[:at] + content[at + length :],
                content[:at] + content,
                content[:at] + bytes([content[at % len(content)] ^ (1 << length % 8)]) + content[at + 1 :],
                content[:at] + draw(st.binary(max_size=20)) + content[at:],
            ]
        )
    )


@st.composite
def damaged_json(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a JSON text in which one value is another one or missing."""
    value = json.loads(content)
    path = draw(st.sampled_from(places(value)))
    if path and draw(st.booleans()):
        return json.dumps(drop(value, path)).encode()
    return json.dumps(put(value, path, draw(HOSTILE | st.text(max_size=5) | st.integers()))).encode()
