"""Text of users in a form that is safe to print: without characters that steer a terminal or turn a line around."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

__all__ = ["printable", "shell_command", "shown_name"]

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters other than tabulator and line feed, line separators, and marks that override the direction of writing."""


def printable(text: str) -> str:
    r"""Replace such characters by their number, as in `\u001b`. In a string of JSON, this means the same character."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shell_command(words: Iterable[str]) -> str:
    """Return a command line that can be printed and pasted into a shell, whatever is in the words, such as names of files."""
    return " ".join(map(_shell_word, words))


def shown_name(name: str) -> str:
    """Return a file's name as it is, or in the notation of a shell if letters of it would not be printed as they are."""
    return name if name.isprintable() else _shell_word(name)


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(letter if letter.isprintable() and letter not in "\\'" else _escape(letter) for letter in word) + "'"


def _escape(letter: str) -> str:
    try:
        content = os.fsencode(letter)
    except UnicodeEncodeError:  # half of a surrogate pair, which no name of a file has
        content = b"?"
    return "".join(f"\\x{byte:02x}" for byte in content)
