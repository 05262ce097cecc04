"""Standard streams of a command: what happens if one of them is closed or cannot be written, and how users' text is printed."""

from __future__ import annotations

import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar, cast

import typer

from fsat_tasks.errors import InputError, OutputError
from fsat_tasks.runtime.printable import printable

__all__ = [
    "drop_output",
    "fill_closed_streams",
    "guarded_output",
    "require_output",
    "say_error",
    "standard_input",
    "styled_output",
    "to_width",
]

T = TypeVar("T")


def fill_closed_streams() -> None:
    """Open the null device for each standard stream that is closed. Otherwise a file would get its number, and stray output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def require_output() -> None:
    """Raise InputError if standard output was closed when the command began, because its answer would be lost."""
    if sys.stdout is None:
        raise InputError("standard output", "an open stream", "a closed one", "To drop the output, add: > /dev/null")


def standard_input() -> io.BufferedReader:
    """Return standard input as bytes. Raises InputError if it was closed when the command began."""
    if sys.stdin is None:
        raise InputError("standard input", "lines of text", "a closed stream", "Give a text, a --file, or lines on a pipe.")
    return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)


@contextmanager
def guarded_output() -> Iterator[None]:
    """Context manager in which standard output is printable text, and raises OutputError if it cannot be written."""
    plain = sys.stdout
    sys.stdout = cast(TextIO, _Output(plain))
    try:
        yield
    finally:
        sys.stdout = plain


def styled_output() -> TextIO:
    """Return standard output for a writer that styles its text and makes users' text printable itself, such as a table."""
    return cast(TextIO, sys.stdout.styled()) if isinstance(sys.stdout, _Output) else sys.stdout


def say_error(message: str, colour: str | None = None) -> None:
    """Print a line for a person on standard error.

    Args:
        colour: colour of the line on a terminal.
    """
    typer.secho(printable(message), err=True, fg=colour if sys.stderr.isatty() else None)


def to_width(message: str) -> str:
    """Return a sentence without a command in it, wrapped at the terminal's width; as it is if nobody looks at a terminal."""
    return textwrap.fill(message, shutil.get_terminal_size().columns) if sys.stderr.isatty() else message


class _Output:
    """Standard output, with errors of its own. A pipe whose reader has ended still raises BrokenPipeError.

    Args:
        stream: the stream that is written to.
        plain: whether characters that steer a terminal are replaced.
    """

    def __init__(self, stream: TextIO, plain: bool = True) -> None:
        self._stream, self._plain = stream, plain

    def styled(self) -> _Output:
        return _Output(self._stream, plain=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._named(lambda: self._stream.write(printable(text) if self._plain else text))

    def flush(self) -> None:
        self._named(self._stream.flush)

    @staticmethod
    def _named(write: Callable[[], T]) -> T:
        try:
            return write()
        except BrokenPipeError:
            raise
        except OSError as error:
            why = error.strerror or str(error)
            raise OutputError(f"standard output cannot be written: {why}. Something that was to be printed is lost.") from None


def drop_output() -> None:
    """Send the rest of standard output nowhere, so that Python does not try to write it once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
