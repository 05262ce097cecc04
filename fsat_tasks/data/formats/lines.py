"""Lines of files and streams. Their length has a bound, so that a line without an end does not fill the memory."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

from fsat_tasks.data.formats.encodings import MARKS, SAVE, bad_byte, encoding_name, find_encoding
from fsat_tasks.errors import DataError
from fsat_tasks.runtime.regular_file import open_regular

__all__ = ["LONGEST_LINE", "file_lines", "no_end", "stream_lines"]

LONGEST_LINE = 1 << 26
"""Maximum length of a line, in characters of a file or bytes of a stream. A line may hold cells that fsat does not read, such as
pictures in base64, so it may be much longer than a text."""
CHUNK = 1 << 16
"""Number of bytes that are taken from a stream at a time. It is the size of a pipe on Linux."""


def file_lines(path: Path, newline: str) -> Iterator[str]:
    """Yield the lines of a text file, each with its line end. A byte-order mark is left out.

    Args:
        newline: "\\n", or "" if a lone "\\r" ends a line too.

    Raises:
        DataError: if the file is not in the encoding that `find_encoding` finds, if a line is too long, or if no line of the
            file ends with `newline`.
    """
    encoding = find_encoding(path)
    with io.TextIOWrapper(open_regular(path), encoding, newline=newline) as file:
        for number in itertools.count(1):
            try:
                line = file.readline(LONGEST_LINE + 1)
            except UnicodeDecodeError as error:
                got = f"the byte 0x{error.object[error.start]:02x}"
                raise DataError(f"{path}, line {number} or after", encoding_name(encoding), got, SAVE) from None
            if not line:
                return
            if len(line) > LONGEST_LINE:
                raise no_end(f"{path}, line {number}")
            if number == 1:
                _require_line_end(line, str(path))
            yield line


def stream_lines(stream: io.BufferedReader | io.BytesIO, name: str) -> Iterator[list[str]]:
    """Yield the lines of UTF-8 bytes without their line ends, as soon as they come. A list has the lines that came at once.

    Args:
        name: name of the stream, for errors.

    Raises:
        DataError: if a line is not UTF-8 or too long, or if no line ends with "\\n". The error names the line.
    """
    number, begun, size = 0, [b""], 0  # pieces of a line whose end has not come yet
    while chunk := stream.read1(CHUNK):
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*begun, ended[0]])
            yield [_decode(line + b"\n", at, name) for at, line in enumerate(ended, start=number + 1)]
            number, begun, size = number + len(ended), [], 0
        begun.append(rest)
        size += len(rest)
        if size > LONGEST_LINE:
            raise no_end(f"{name}, line {number + 1}")
    if size:
        yield [_decode(b"".join(begun), number + 1, name)]


def no_end(where: str) -> DataError:
    """Return the error about a line that is too long."""
    fix = "Is it a file of the right kind? Write each row in a line of its own."
    return DataError(where, f"a line end within {LONGEST_LINE:,} characters", "none", fix)


def _decode(line: bytes, number: int, name: str) -> str:
    """Return a line without its line end."""
    if number == 1:
        _require_no_mark(line, name)
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise bad_byte(f"{name}, line {number}", line[error.start]) from None
    if number == 1:
        _require_line_end(text, name)
    return text.rstrip("\r\n")


def _require_no_mark(start: bytes, where: str) -> None:
    """Raise DataError if the first bytes of a stream say that it has another encoding than UTF-8."""
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            raise DataError(where, "UTF-8", f"{encoding_name(encoding)}, as its first bytes say", SAVE)


def _require_line_end(first: str, where: str) -> None:
    """Raise DataError if the first line is the whole file because its lines end as on old Macs."""
    if not first.endswith("\n") and "\r" in first.rstrip("\r\n"):
        fix = "Save it with Unix or Windows line ends."
        raise DataError(where, "lines that end with a line feed (\\n)", "lines that end with a carriage return (\\r) alone", fix)
