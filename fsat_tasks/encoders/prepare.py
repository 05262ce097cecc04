"""Rows that are prepared for an encoder, and their batches. Only the encoder's kind knows what the arrays of a row are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fsat_tasks.inputs.modality import Input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Feed = Mapping[str, NDArray[Any]]
    """Name of each of the encoder's inputs -> array (batch, ...)."""

__all__ = ["Batch", "Prepared", "Preparer", "collate", "one_size_batches", "pack_rows", "padded_batches", "unpack_rows"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A row as the encoder reads it."""

    arrays: Mapping[str, NDArray[Any]]
    """Name of each of the encoder's inputs -> the row's array, which has at least one axis."""
    size: int
    """Work that the row takes, such as its number of tokens."""
    rest: tuple[Prepared, ...] = ()
    """Further pieces of a row that is longer than the encoder reads."""


class Preparer(Protocol):
    """Prepares rows for one encoder. It is opened from the encoder's files."""

    def prepare(self, inputs: Sequence[Input]) -> list[Prepared]:
        """Prepare rows. Raises DataError if the encoder cannot read a row."""

    def examples(self) -> Iterator[Feed]:
        """Yield batches of random rows, always the same ones. The scales of int8 activations are measured on them."""


class Batch(NamedTuple):
    """Rows that an encoder reads together."""

    rows: NDArray[np.int64]  # (batch,) indices of the rows
    feed: Feed
    size: int
    """Size of each row, padding included; at least 1."""

    def part(self, rows: slice) -> Batch:
        """Return a part of the batch."""
        return Batch(self.rows[rows], {name: values[rows] for name, values in self.feed.items()}, self.size)


def padded_batches(rows: Sequence[Prepared], size: int) -> Iterator[Batch]:
    """Yield padded batches. The rows of each have at most this size together, padding included, or it is a single row.

    The longest rows come first, so that rows of similar length share a batch and need little padding.
    """
    import numpy as np

    sizes = np.array([row.size for row in rows], np.int64)
    order = np.argsort(-sizes, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(sizes[order[start]]), 1)
        numbers = order[start : start + max(size // longest, 1)]
        yield Batch(numbers, collate([rows[i] for i in numbers]), longest)
        start += len(numbers)


def one_size_batches(rows: Sequence[Prepared], size: int) -> Iterator[Batch]:
    """Yield batches whose rows all have the same size, the longest rows first.

    There is no padding to compute, and a row's features are the same to the last bit in any batch.
    """
    import numpy as np

    sizes = np.array([row.size for row in rows], np.int64)
    for own in np.unique(sizes)[::-1].tolist():
        numbers, longest = np.flatnonzero(sizes == own), max(own, 1)
        count = max(size // longest, 1)
        for start in range(0, len(numbers), count):
            some = numbers[start : start + count]
            yield Batch(some, collate([rows[i] for i in some]), longest)


def collate(rows: Sequence[Prepared]) -> Feed:
    """Stack the arrays of rows, at least one. The ends of short arrays are filled with zeros, which an encoder must not read."""
    return {name: _stack([row.arrays[name] for row in rows]) for name in rows[0].arrays}


def _stack(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return (rows, longest, ...). The longest has at least one entry, because encoders refuse an empty axis."""
    import numpy as np

    stacked = np.zeros((len(arrays), max(*map(len, arrays), 1), *arrays[0].shape[1:]), arrays[0].dtype)
    for at, array in enumerate(arrays):
        stacked[at, : len(array)] = array
    return stacked


def pack_rows(rows: Sequence[Prepared]) -> dict[str, NDArray[Any]]:
    """Return rows, at least one, as a few plain arrays for files. Further pieces of long rows are left out."""
    import numpy as np

    packed: dict[str, NDArray[Any]] = {"sizes": np.array([row.size for row in rows], np.int64)}
    for name in rows[0].arrays:
        arrays = [row.arrays[name] for row in rows]
        packed |= {f"array-{name}": np.concatenate(arrays), f"lengths-{name}": np.array(list(map(len, arrays)), np.int64)}
    return packed


def unpack_rows(packed: Mapping[str, NDArray[Any]]) -> list[Prepared]:
    """Return the rows of `pack_rows`."""
    import numpy as np

    names = [name.removeprefix("array-") for name in packed if name.startswith("array-")]
    columns = [np.split(packed[f"array-{name}"], np.cumsum(packed[f"lengths-{name}"])[:-1]) for name in names]
    return [
        Prepared(dict(zip(names, arrays, strict=True)), size)
        for *arrays, size in zip(*columns, packed["sizes"].tolist(), strict=True)
    ]
