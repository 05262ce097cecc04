"""Run a pretrained encoder: from rows to pooled features."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fsat_tasks.encoders.artefact import open_preparer, size_limit
from fsat_tasks.encoders.backends import Layers, open_backend
from fsat_tasks.encoders.export import export_encoder, export_int8_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.encoders.prepare import Batch, Prepared, one_size_batches, padded_batches
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import OutOfMemoryError
from fsat_tasks.inputs.cells import read_texts
from fsat_tasks.inputs.modality import Input
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
"""Number of rows in a chunk. A chunk is prepared and sorted by size while the encoder computes the previous chunk."""
CHUNK_OF_LONG_ROWS = 256
"""Number of rows in a chunk if long rows are split. It is smaller, because each row may have many pieces."""

Progress = Callable[[int], None]
"""Function that is called with the number of rows done so far."""


@dataclass
class Counts:
    """Counts of the work that an encoder has done so far."""

    rows: int = 0
    """Number of distinct rows."""
    size: int = 0
    """Size of all rows together, such as their number of tokens."""
    truncated: int = 0
    """Number of rows that are longer than the encoder reads."""
    halved: int = 0
    """Number of batches that were split in half because memory was short."""


class Encoder:
    """An exported encoder on a device.

    Args:
        artefact: an artefact of `export_encoder` or `export_int8_encoder`, or a fine-tuned encoder.
        device: `cpu` or `cuda`.
        source: the pretrained model's folder. torch needs it on a GPU that ONNX Runtime cannot use.
        long_texts: what to do with rows that are longer than the encoder reads. `cut` ignores what is beyond this maximum.
            `mean` splits the row into pieces and averages their features, weighted by size.
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
        self.limit = size_limit(artefact)
        """Size above which a row is cut, in words."""
        self.source = source
        self.numeric_class = encoding_class(device, config["precision"])
        self.long_texts = long_texts
        self.counts = Counts()
        self._preparer = open_preparer(artefact.path)
        self._backend = open_backend(artefact, source, device)
        self._batch_size = self._backend.batch_size
        self._lock = threading.Lock()

    def prepare(self, rows: Sequence[Input]) -> list[Prepared]:
        """Return the rows as the encoder reads them, cut at its maximum length."""
        return self._preparer.prepare(rows)

    def cuts(self, rows: Sequence[Prepared]) -> NDArray[np.bool_]:
        """Return a mask (n,) of the prepared rows whose end the encoder does not read."""
        import numpy as np

        return np.array([self.long_texts == "cut" and bool(row.rest) for row in rows], bool)

    def encode(self, texts: Sequence[str], layers: Layers = "last", progress: Progress | None = None) -> Features:
        """Compute pooled features, of unit length if the encoder's config says so. Repeated texts are computed once.

        Args:
            texts: n rows of any length, each in the notation of its modality, such as the text itself.
            layers: `last` returns (n, dim); `all` returns (n, layers, dim), from the embeddings to the last block.
            progress: called with the number of rows done so far.

        Raises:
            DataError: a row is not valid text, such as half of a surrogate pair. The message names the row.
            OutOfMemoryError: not even one row fits into memory.
            DeviceError: the GPU no longer answers.
        """
        import numpy as np

        texts = read_texts(texts, "texts")
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        features, _ = self.encode_distinct(list(row_of), layers, progress)
        if len(row_of) < len(texts):
            features = features[np.fromiter((row_of[text] for text in texts), np.int64, len(texts))]
            if progress is not None:
                progress(len(texts))
        return features

    def encode_distinct(
        self, inputs: list[Input], layers: Layers, progress: Progress | None = None
    ) -> tuple[Features, NDArray[np.bool_]]:
        """Encode rows without looking for repeats.

        Returns:
            features, (n, dim) or (n, layers, dim) as in `encode`, and a mask (n,) of the rows that are longer than
            the encoder's maximum.
        """
        import numpy as np

        truncated = np.zeros(len(inputs), bool)
        features = np.empty((len(inputs), *((self.layers, self.dim) if layers == "all" else (self.dim,))), np.float32)
        with ThreadPoolExecutor(self._backend.workers) as pool:
            before: _Chunk | None = None
            try:
                size = CHUNK if self.long_texts == "cut" else CHUNK_OF_LONG_ROWS
                for start in range(0, len(inputs), size):
                    chunk = self._submit(pool, inputs[start : start + size], start, layers)
                    truncated[start : start + size] = chunk.truncated
                    if before is not None:  # the previous chunk was computed while this one was prepared
                        self._collect(before, features, progress)
                    before = chunk
                if before is not None:
                    self._collect(before, features, progress)
            finally:
                pool.shutdown(cancel_futures=True)
        self.counts.rows += len(inputs)
        self.counts.truncated += int(truncated.sum())
        return features, truncated

    def _submit(self, pool: ThreadPoolExecutor, inputs: list[Input], start: int, layers: Layers) -> _Chunk:
        """Prepare a chunk and start the computation of its batches."""
        import numpy as np

        rows, owners = self._preparer.prepare(inputs), list(range(len(inputs)))
        truncated = np.array([bool(row.rest) for row in rows])
        if self.long_texts == "mean":
            pieces = [(owner, piece) for owner, row in enumerate(rows) for piece in row.rest]
            owners += [owner for owner, _ in pieces]
            rows += [piece for _, piece in pieces]
        self.counts.size += sum(row.size for row in rows)
        batches = (one_size_batches if self._backend.one_size else padded_batches)(rows, self._batch_size)
        results = [(batch.rows, pool.submit(self._run, batch, layers)) for batch in batches]
        sizes = np.array([row.size for row in rows], np.float32)
        return _Chunk(start, len(inputs), truncated, np.array(owners), sizes, results)

    def _run(self, batch: Batch, layers: Layers) -> Features:
        """Run a batch. If memory runs short, run it in smaller parts, and split later batches before they are run."""
        import numpy as np

        count, rows = len(batch.rows), max(self._batch_size // batch.size, 1)
        if count <= rows:
            try:
                return self._backend.run(batch.feed, layers)
            except OutOfMemoryError:
                if count == 1:
                    raise
            rows = -(-count // 2)
            with self._lock:
                self.counts.halved += 1
                if self._batch_size > rows * batch.size:
                    self._batch_size = rows * batch.size
                    message = "not enough memory for %d rows of size %d; continuing with half as many rows"
                    log.warning(message, count, batch.size)
        parts = [slice(start, start + rows) for start in range(0, count, rows)]
        return np.concatenate([self._run(batch.part(part), layers) for part in parts])

    def _collect(self, chunk: _Chunk, features: Features, progress: Progress | None) -> None:
        """Wait for a chunk's batches and write its rows. A split row gets the mean of its pieces, weighted by size."""
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
            rows[row] = np.average(pieces[own], axis=0, weights=chunk.sizes[own])
            if self.normalize:
                rows[row] /= np.maximum(np.linalg.norm(rows[row], axis=-1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class _Chunk:
    """A chunk of rows whose batches are being computed."""

    start: int
    rows: int
    truncated: NDArray[np.bool_]  # (rows,)
    owners: NDArray[np.int64]
    """(pieces,) index of the row that each piece belongs to. First there is one piece of every row, then all further pieces."""
    sizes: NDArray[np.float32]  # (pieces,)
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
