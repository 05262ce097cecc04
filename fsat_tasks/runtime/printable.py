"""Text of users in a form that is safe to print: without characters that steer a terminal or turn a line around."""

from __future__ import annotations

import re

__all__ = ["printable"]

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters other than tabulator and line feed, line separators, and marks that override the direction of writing."""


def printable(text: str) -> str:
    r"""Replace such characters by their number, as in `\u001b`. In a string of JSON, this means the same character."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
