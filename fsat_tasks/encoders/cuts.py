"""Words about rows that are longer than an encoder reads."""

from __future__ import annotations

from fsat_tasks.quality.wording import plural

__all__ = ["say_cut"]


def say_cut(cut: int, rows: int, noun: str, limit: str) -> str:
    """Say how many rows were cut.

    Args:
        cut: number of rows that were cut.
        rows: number of all rows.
        noun: word for a row, such as "text".
        limit: size above which a row is cut, in words.
    """
    return f"{cut:,} of {plural(rows, noun)} {'was' if cut == 1 else 'were'} cut to {limit}, because the encoder reads no more"
