"""A modality: what a row of a task is. Only a modality's own modules look into a row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import ClassVar, NamedTuple, Protocol

__all__ = ["KEY_BYTES", "Input", "Modality", "Place"]

Input = str
"""A row in its modality's notation, such as the text itself. Two rows are the same if their notations are equal.

So tables, files and messages keep the rows of any modality as text."""
KEY_BYTES = 16
"""Number of bytes of a row's key. The chance that any two of a billion rows share a key is 1e-21."""


class Place(NamedTuple):
    """Place of a row, for error messages."""

    file: str
    line: int
    columns: Sequence[str]

    def of(self, cell: int) -> str:
        """Return the place of one of the row's cells."""
        return f"{self.file}, line {self.line}, column {self.columns[cell]!r}"


class Modality(Protocol):
    """Kind of rows: how a row is read, checked, changed and shown."""

    noun: ClassVar[str]
    """Word for a row, such as `text`."""
    oddities: ClassVar[Mapping[str, str]] = {}
    """Data checks of single rows: name -> message of a row that fails. The rows that fail only give a warning."""
    perturbations: ClassVar[Mapping[str, Callable[[Input, random.Random], Input]]] = {}
    """Changes that keep the meaning of a row: name -> function that makes the change."""

    def columns(self, text: str) -> tuple[str, ...]:
        """Return the columns of a file that a row is read from.

        Args:
            text: name of the column that task.yaml has under `text`.
        """

    def read(self, cells: Sequence[object], place: Place, longest: int) -> Input | None:
        """Return the row in these cells, one for each column. None if it is blank.

        Args:
            place: place of the row, for errors.
            longest: maximum number of characters of a cell.

        Raises:
            DataError: a cell is not valid. The error names file, line and column.
        """

    def read_line(self, line: str, where: str) -> Input:
        """Return the row that a person has written in one line. Raises DataError, which names `where`, if it is not valid."""

    def cells(self, row: Input) -> tuple[str, ...]:
        """Return the cells that `read` reads this row from."""

    def key(self, row: Input) -> bytes:
        """Return KEY_BYTES bytes that are different for rows of different content. By default they are a hash of the notation."""
        return blake2b(row.encode(), digest_size=KEY_BYTES).digest()

    def fingerprint(self, row: Input) -> str:
        """Return a form of the row that is equal for rows which differ only in what does not matter."""

    def similar(self, marks: Sequence[str], others: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
        """Yield the indices of near duplicates: pairs of a fingerprint in `marks` and one in `others`, in the order of `marks`.

        Args:
            threshold: minimum similarity, in 0..1.
        """

    def trait(self, row: Input) -> str | None:
        """Return a property that most rows of a task share, such as the script of a text. None if the row does not have it."""

    def find_languages(self, rows: Sequence[Input]) -> Counter[str]:
        """Return language -> number of rows that are surely in it. By default no row is in any."""
        return Counter()

    def clean(self, cell: str) -> str:
        """Return a cell without markup, on request. By default this is the cell."""
        return cell

    def has_markup(self, row: Input) -> bool:
        """Return whether a row has markup that `clean` removes. By default none has."""
        return False

    def find_oddities(self, row: Input, usual: str | None) -> Collection[str]:
        """Return the names of the checks in `oddities` that this row fails.

        Args:
            usual: most frequent trait of the task's rows.
        """

    def show(self, row: Input, room: int | None = None) -> str:
        """Return the row in words for people, of at most `room` characters. By default this is the notation."""
        return row if room is None or len(row) <= room else row[: room - 1] + "…"

    def anchor(self, words: str) -> Input | None:
        """Return the row that stands for a class described in words. None if no row of this modality can."""
