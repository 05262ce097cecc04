"""Query rows that are also samples. They make the figures too good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fsat_tasks.data.readers import Rows
from fsat_tasks.inputs.modality import Modality

__all__ = ["find_leaks", "say_leaks", "say_lines"]

MOST = 10
"""Maximum number of lines that a sentence names."""


def find_leaks(query: Rows, samples: Rows, modality: Modality) -> dict[int, int]:
    """Return line of a query row -> line of a sample with the same fingerprint, for each query row that has one."""
    line_of = {mark: line for line, mark in _marks(samples, modality)}
    return {line: line_of[mark] for line, mark in _marks(query, modality) if mark in line_of}


def _marks(rows: Rows, modality: Modality) -> Iterator[tuple[int, str]]:
    """Yield the line and the fingerprint of each row that has one."""
    for line, row in zip(rows.lines, rows.inputs, strict=True):
        if row is not None and (mark := modality.fingerprint(row)):
            yield line, mark


def say_leaks(lines: Iterable[int], modality: Modality, samples: str = "") -> str:
    """Say what is wrong with query rows that are also the samples on some lines.

    Args:
        samples: name of the samples' file, if the sentence has to name it.
    """
    where = f"{samples}, {say_lines(lines)}" if samples else say_lines(lines)
    return (
        f"a {modality.noun} that is also among the samples ({where}), which makes the figures too good (remove it from one file)"
    )


def say_lines(lines: Iterable[int]) -> str:
    """Return at most MOST lines in words: `lines 2, 7`."""
    some = sorted(set(lines))
    more = f" and {len(some) - MOST} more" if len(some) > MOST else ""
    return f"line{'s' if len(some) > 1 else ''} {', '.join(map(str, some[:MOST]))}{more}"
