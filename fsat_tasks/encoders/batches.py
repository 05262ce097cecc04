"""Tokenise texts and group them into batches of token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.runtime.kept import Kept

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Batch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    """Row indices (batch,), token ids (batch, tokens) and mask (batch, tokens)."""

__all__ = ["load_tokenizer", "one_length_batches", "padded_batches", "tokenize"]


def load_tokenizer(path: Path, kept: Kept | None = None) -> tuple[Any, int]:
    """Load a tokenizer and its pad id.

    The tokenizer does not pad. Rows are padded later, to the length of their batch.

    Args:
        path: a tokenizer.json.
        kept: cache of open objects. With it, the tokenizer is parsed again only if the file's content has changed.
    """
    content = path.read_text("utf-8")
    return (kept or Kept()).get("tokenizer", content, lambda: _parse_tokenizer(content))


def _parse_tokenizer(content: str) -> tuple[Any, int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(content)
    padding = tokenizer.padding
    assert padding is not None, "export_encoder sets it"
    tokenizer.no_padding()
    return tokenizer, padding["pad_id"]


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, without padding."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def padded_batches(rows: Sequence[list[int]], pad_id: int, tokens: int) -> Iterator[Batch]:
    """Yield padded batches. Each has at most `tokens` tokens, padding included, or a single row.

    The longest rows come first, so that rows of similar length share a batch and need little padding.
    """
    import numpy as np

    lengths = np.array([len(ids) for ids in rows], np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        numbers = order[start : start + max(tokens // max(longest, 1), 1)]
        yield numbers, *_padded([rows[i] for i in numbers], longest, pad_id)
        start += len(numbers)


def one_length_batches(rows: Sequence[list[int]], pad_id: int, tokens: int) -> Iterator[Batch]:
    """Yield batches whose rows all have the same length, the longest rows first.

    There is no padding to compute, and a row's features are the same to the last bit in any batch.
    """
    import numpy as np

    lengths = np.array([len(ids) for ids in rows], np.int64)
    for length in np.unique(lengths)[::-1].tolist():
        numbers = np.flatnonzero(lengths == length)
        size = max(tokens // max(length, 1), 1)
        for start in range(0, len(numbers), size):
            some = numbers[start : start + size]
            yield some, *_padded([rows[i] for i in some], length, pad_id)


def _padded(rows: Sequence[list[int]], length: int, pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids and mask, both (rows, max(length, 1)). A row without tokens becomes one masked token."""
    import numpy as np

    ids = np.full((len(rows), max(length, 1)), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return ids, mask
