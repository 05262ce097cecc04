"""Lines of a stream come as soon as they are written, and one without an end does not fill the memory."""

from __future__ import annotations

import io
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.formats.lines import LONGEST_LINE, stream_lines
from fsat_tasks.errors import DataError

letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=12)


class Pieces(io.BytesIO):
    """A stream that gives one piece at a time, as a pipe does."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self.pieces = pieces

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@given(st.lists(letters, max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 7))
def test_lines_are_the_same_however_they_are_cut_into_pieces(lines: list[str], end: str, ended: bool, size: int) -> None:
    content = (end.join(lines) + (end if ended and lines else "")).encode()
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    found = [line for some in stream_lines(Pieces(pieces), "pipe") for line in some]
    expected = lines if ended else (lines[:-1] if lines and not lines[-1] else lines)
    assert found == [line.removeprefix("\ufeff") if not at else line for at, line in enumerate(expected)]


def test_lines_come_as_soon_as_they_are_there() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as out:
        lines = stream_lines(stream, "pipe")
        for sent, come in ((b"one\n", ["one"]), (b"two\nthree\nfo", ["two", "three"]), (b"ur\n", ["four"])):
            out.write(sent)
            assert next(lines) == come


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\ncaf\xe9\n", "pipe, line 2: expected UTF-8, got the byte 0xe9. Save it as UTF-8"),
        ("a\nb\n".encode("utf-16"), "pipe: expected UTF-8, got UTF-16, as its first bytes say."),
        (
            b"a\rb\r",
            "pipe: expected lines that end with a line feed (\\n), got lines that end with a carriage return (\\r) alone.",
        ),
    ],
)
def test_other_encodings_and_line_ends_are_named(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        list(stream_lines(io.BytesIO(content), "pipe"))


def test_endless_line_is_refused_after_its_bound() -> None:
    taken = 0

    class Endless(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            nonlocal taken
            taken += 1 << 20
            return b"x" * (1 << 20)

    with pytest.raises(DataError, match="pipe, line 1: expected a line end within 67,108,864 characters, got none"):
        list(stream_lines(Endless(), "pipe"))
    assert taken <= LONGEST_LINE + (1 << 20)
