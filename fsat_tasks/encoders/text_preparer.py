"""Prepare texts for an encoder: token ids by the encoder's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.errors import EncoderError, reason
from fsat_tasks.inputs.modality import Input
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.regular_file import read_regular

if TYPE_CHECKING:
    from fsat_tasks.encoders.prepare import Feed

__all__ = ["TextPreparer", "load_tokenizer", "prepare_ids", "tokenize"]

LARGEST_TOKENIZER = 1 << 28
"""Maximum size of tokenizer.json in bytes. That of a vocabulary of 250,000 tokens has 17 million."""
CALIBRATION_LENGTHS, CALIBRATION_ROWS = (8, 16, 32, 64), 16
"""Lengths of the random calibration rows in tokens, and the number of rows of each length."""


class TextPreparer:
    """The tokenizer of an exported encoder.

    Args:
        folder: folder with tokenizer.json. `examples` also needs encoder.json.
        kept: cache of open objects. With it, the tokenizer is parsed again only if the file's content has changed.
    """

    def __init__(self, folder: Path, kept: Kept | None = None) -> None:
        self._folder = folder
        self._tokenizer = load_tokenizer(folder / "tokenizer.json", kept)

    def prepare(self, inputs: Sequence[Input]) -> list[Prepared]:
        """Tokenise texts. A text with more tokens than the encoder's maximum has further pieces."""
        return [
            prepare_ids(encoding.ids, tuple(prepare_ids(piece.ids) for piece in encoding.overflowing))
            for encoding in self._tokenizer.encode_batch_fast(list(inputs))
        ]

    def examples(self) -> Iterator[Feed]:
        """Yield batches of random token ids, between the tokens that every text begins and ends with."""
        import numpy as np

        (frame,) = tokenize(self._tokenizer, [""])
        half = (len(frame) + 1) // 2
        begin, end = (np.tile(np.array(ids, np.int64), (CALIBRATION_ROWS, 1)) for ids in (frame[:half], frame[half:]))
        vocabulary = self._tokenizer.get_vocab_size(with_added_tokens=False)
        most = json.loads((self._folder / "encoder.json").read_text("utf-8"))["max_tokens"]
        rng = np.random.default_rng(0)
        for length in CALIBRATION_LENGTHS:
            own = max(min(length, most - len(frame)), 1)
            ids = np.concatenate([begin, rng.integers(0, vocabulary, (CALIBRATION_ROWS, own)), end], axis=1)
            yield {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def prepare_ids(ids: Sequence[int], rest: tuple[Prepared, ...] = ()) -> Prepared:
    """Return the row of a text with these token ids. The mask tells its tokens from padding."""
    import numpy as np

    tokens = np.array(ids, np.int64)
    return Prepared({"input_ids": tokens, "attention_mask": np.ones_like(tokens)}, len(tokens), rest)


def load_tokenizer(path: Path, kept: Kept | None = None) -> Any:
    """Load a tokenizer. It does not pad, because rows are padded later, to the length of their batch.

    Args:
        path: a tokenizer.json.
        kept: cache of open objects. With it, the tokenizer is parsed again only if the file's content has changed.

    Raises:
        EncoderError: the file cannot be read, or is no tokenizer.
    """
    try:
        content = read_regular(path, LARGEST_TOKENIZER).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _no_tokenizer(path, reason(error) if isinstance(error, OSError) else str(error)) from None
    return (kept or Kept()).get("tokenizer", content, lambda: _parse_tokenizer(content, path))


def _no_tokenizer(path: Path, got: str) -> EncoderError:
    fix = "The file was altered or is damaged. Restore it, or move its folder away and run the task again."
    return EncoderError(str(path), "a tokenizer", got, fix)


def _parse_tokenizer(content: str, path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises nothing more particular
        raise _no_tokenizer(path, str(error)) from None
    tokenizer.no_padding()
    return tokenizer


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, without padding."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
