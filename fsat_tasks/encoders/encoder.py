"""Run a pretrained text encoder: from texts to pooled features."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fsat_tasks.encoders.backends import Layers, open_backend
from fsat_tasks.encoders.batches import load_tokenizer, one_length_batches, padded_batches, tokenize
from fsat_tasks.encoders.export import export_encoder, export_int8_encoder
from fsat_tasks.encoders.source import EncoderSource, find_encoder
from fsat_tasks.errors import OutOfMemoryError
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.numeric_class import encoding_class
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

__all__ = ["Encoder", "load_encoder"]

log = logging.getLogger(__name__)

CHUNK = 4096
"""Number of texts in a chunk. A chunk is tokenised and sorted by length while the encoder computes the previous chunk."""
CHUNK_OF_LONG_TEXTS = 256
"""Number of texts in a chunk if long texts are split. It is smaller, because each text may have many pieces."""

Progress = Callable[[int], None]
"""Function that is called with the number of rows done so far."""


@dataclass
class Counts:
    """Counts of the work that an encoder has done so far."""

    rows: int = 0
    """Number of distinct texts."""
    tokens: int = 0
    truncated: int = 0
    """Number of texts with more tokens than the encoder's maximum."""
    halved: int = 0
    """Number of batches that were split in half because memory was short."""


class Encoder:
    """An exported encoder on a device.

    Args:
        artefact: an artefact of `export_encoder` or `export_int8_encoder`, or a fine-tuned encoder.
        device: `cpu` or `cuda`.
        source: the pretrained model's folder. torch needs it on a GPU that ONNX Runtime cannot use.
        long_texts: what to do with texts of more tokens than the encoder's maximum. `cut` ignores the tokens
            beyond this maximum. `mean` splits the text into pieces and averages their features, weighted by number of tokens.
    """

    def __init__(
        self,
        artefact: Artefact,
        device: Literal["cpu", "cuda"],
        source: EncoderSource | None = None,
        long_texts: Literal["cut", "mean"] = "cut",
    ) -> None:
        config = artefact.json("encoder.json")
        self.revision: str = config["revision"]
        self.dim: int = config["dim"]
        self.layers: int = config["layers"]
        self.normalize: bool = config["normalize"]
        """True if the features have unit length."""
        self.source = source
        self.numeric_class = encoding_class(device, config["precision"])
        self.long_texts = long_texts
        self.counts = Counts()
        self._tokenizer, self._pad_id = load_tokenizer(artefact.path / "tokenizer.json")
        self._backend = open_backend(artefact, source, device)
        self._tokens = self._backend.tokens
        self._lock = threading.Lock()

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, cut at the encoder's maximum length and without padding."""
        return tokenize(self._tokenizer, texts)

    def encode(self, texts: Sequence[str], layers: Layers = "last", progress: Progress | None = None) -> Features:
        """Compute pooled features, of unit length if the encoder's config says so. Repeated texts are computed once.

        Args:
            texts: n texts of any length.
            layers: `last` returns (n, dim); `all` returns (n, layers, dim), from the embeddings to the last block.
            progress: called with the number of rows done so far.

        Raises:
            DataError: a row is not valid text, such as half of a surrogate pair. The message names the row.
            OutOfMemoryError: not even one row fits into memory.
            DeviceError: the GPU no longer answers.
        """
        import numpy as np

        from fsat_tasks.data.texts import read_texts

        texts = read_texts(texts, "texts")
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        features, _ = self.encode_distinct(list(row_of), layers, progress)
        if len(row_of) < len(texts):
            features = features[np.fromiter((row_of[text] for text in texts), np.int64, len(texts))]
            if progress is not None:
                progress(len(texts))
        return features

    def encode_distinct(
        self, texts: list[str], layers: Layers, progress: Progress | None = None
    ) -> tuple[Features, NDArray[np.bool_]]:
        """Encode texts without looking for repeats.

        Returns:
            features, (n, dim) or (n, layers, dim) as in `encode`, and a mask (n,) of the texts that are longer than
            the encoder's maximum.
        """
        import numpy as np

        truncated = np.zeros(len(texts), bool)
        features = np.empty((len(texts), *((self.layers, self.dim) if layers == "all" else (self.dim,))), np.float32)
        with ThreadPoolExecutor(self._backend.workers) as pool:
            before: _Chunk | None = None
            try:
                size = CHUNK if self.long_texts == "cut" else CHUNK_OF_LONG_TEXTS
                for start in range(0, len(texts), size):
                    chunk = self._submit(pool, texts[start : start + size], start, layers)
                    truncated[start : start + size] = chunk.truncated
                    if before is not None:  # the previous chunk was computed while this one was tokenised
                        self._collect(before, features, progress)
                    before = chunk
                if before is not None:
                    self._collect(before, features, progress)
            finally:
                pool.shutdown(cancel_futures=True)
        self.counts.rows += len(texts)
        self.counts.truncated += int(truncated.sum())
        return features, truncated

    def _submit(self, pool: ThreadPoolExecutor, texts: list[str], start: int, layers: Layers) -> _Chunk:
        """Tokenise a chunk and start the computation of its batches."""
        import numpy as np

        encodings = self._tokenizer.encode_batch_fast(texts)
        rows, owners = [encoding.ids for encoding in encodings], list(range(len(texts)))
        truncated = np.array([bool(encoding.overflowing) for encoding in encodings])
        if self.long_texts == "mean":
            pieces = [(row, piece.ids) for row, encoding in enumerate(encodings) for piece in encoding.overflowing]
            owners += [row for row, _ in pieces]
            rows += [ids for _, ids in pieces]
        self.counts.tokens += sum(map(len, rows))
        batches = (one_length_batches if self._backend.one_length else padded_batches)(rows, self._pad_id, self._tokens)
        results = [(numbers, pool.submit(self._run, ids, mask, layers)) for numbers, ids, mask in batches]
        lengths = np.array([len(ids) for ids in rows], np.float32)
        return _Chunk(start, len(texts), truncated, np.array(owners), lengths, results)

    def _run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], layers: Layers) -> Features:
        """Run a batch. If memory runs short, run it in smaller parts, and split later batches before they are run."""
        import numpy as np

        rows = max(self._tokens // ids.shape[1], 1)
        if len(ids) <= rows:
            try:
                return self._backend.run(ids, mask, layers)
            except OutOfMemoryError:
                if len(ids) == 1:
                    raise
            rows = -(-len(ids) // 2)
            with self._lock:
                self.counts.halved += 1
                if self._tokens > rows * ids.shape[1]:
                    self._tokens = rows * ids.shape[1]
                    log.warning("not enough memory for %d rows of %d tokens; continuing with half as many rows", *ids.shape)
        parts = [slice(start, start + rows) for start in range(0, len(ids), rows)]
        return np.concatenate([self._run(ids[part], mask[part], layers) for part in parts])

    def _collect(self, chunk: _Chunk, features: Features, progress: Progress | None) -> None:
        """Wait for a chunk's batches and write its rows. The row of a split text is the token-weighted mean of its pieces."""
        import numpy as np

        pieces = np.empty((len(chunk.owners), *features.shape[1:]), np.float32)
        done = 0
        for numbers, result in chunk.results:
            pieces[numbers] = result.result()
            done += len(numbers)
            if progress is not None:
                progress(chunk.start + chunk.rows * done // len(pieces))
        rows = features[chunk.start : chunk.start + chunk.rows]
        rows[:] = pieces[: chunk.rows]
        split = np.unique(chunk.owners[chunk.rows :])
        for row in split.tolist():
            own = chunk.owners == row
            rows[row] = np.average(pieces[own], axis=0, weights=chunk.lengths[own])
            if self.normalize:
                rows[row] /= np.maximum(np.linalg.norm(rows[row], axis=-1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class _Chunk:
    """A chunk of texts whose batches are being computed."""

    start: int
    rows: int
    truncated: NDArray[np.bool_]  # (rows,)
    owners: NDArray[np.int64]
    """(pieces,) index of the text that each piece belongs to. First there is one piece of every text, then all further pieces."""
    lengths: NDArray[np.float32]  # (pieces,) number of tokens
    results: list[tuple[NDArray[np.int64], Future[Features]]]
    """For each batch, the indices of its pieces, and the future that will hold their features."""


def load_encoder(
    name_or_path: str | Path,
    device: str = "auto",
    max_tokens: int | None = None,
    precision: Literal["fp32", "int8"] = "fp32",
    long_texts: Literal["cut", "mean"] = "cut",
) -> Encoder:
    """Load an encoder by name or path. The first call exports it to the store.

    Args:
        name_or_path: a bundled name, `org/model`, or a model folder; see `find_encoder`.
        device: `auto`, `cpu` or `cuda`. `auto` takes a GPU if one can be used.
        max_tokens: maximum number of tokens of a text; None, or a number above the encoder's maximum, gives that maximum.
        precision: precision on a CPU; a GPU always uses half precision. `int8` is 1.6 to 2.2 times as fast as
            `fp32`, and its features have a cosine of 0.9994 to those of `fp32`.
        long_texts: `cut` or `mean`; see `Encoder`.

    Raises:
        EncoderError: the encoder is not on this machine, or cannot be used.
        DeviceError: the device is not on this machine.
    """
    path = Path(name_or_path)
    source = find_encoder(path if path.is_dir() else str(name_or_path), max_tokens)
    store = Store(Workspace.from_env().store)
    with store.in_use():
        encoder, found = export_encoder(source, store), pick_device(device)
        if precision == "int8" and found == "cpu":
            encoder = export_int8_encoder(encoder, store)
        return Encoder(encoder, found, source, long_texts)
