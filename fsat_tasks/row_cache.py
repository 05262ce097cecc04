"""Features by the content of a text: what was encoded once, by any task or run, is not encoded again.

A segment is an artefact with some rows' keys, features and flags; new rows are a new segment, so that nothing is ever changed
in place, and what a killed run had finished is there for the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsat_tasks.encoder import Encoder, Progress
from fsat_tasks.store import Artefact, Recipe, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RowCache"]

KEY_BYTES = 16
"""Of a text's hash: two of a billion texts share one with a chance of 1e-21."""


@dataclass
class _Segment:
    folder: Path
    keys: NDArray[np.bytes_]  # (rows,), ascending
    whole: bool = False
    """Whether the checksums of its files were compared."""


class RowCache:
    """The rows that an encoder has encoded, all layers.

    Args:
        encoder: in use; its numeric class is part of the key.
        artefact: the encoder's.
    """

    def __init__(self, store: Store, encoder: Encoder, artefact: Artefact) -> None:
        self._store, self._encoder = store, encoder
        self._inputs = {"encoder": artefact.sha256("encoder.onnx"), "tokenizer": artefact.sha256("tokenizer.json")}
        identity = Recipe("rows", 1, {"long_texts": encoder.long_texts}, self._inputs, encoder.numeric_class)
        self._step = f"rows-{identity.key[:16]}"
        self.dtype = np.dtype(np.float16 if encoder.normalize else np.float32)
        """Half precision keeps a unit vector's cosine to 1e-7; features of any length are kept as they are."""
        self.encoded = self.found = self.truncated = 0
        """Different texts that were encoded and that were there already; and rows whose text was cut."""
        folders = sorted(store.root.glob(f"{self._step}/??/[!.]*/"))
        self._segments = [segment for folder in folders if (segment := _open(folder))]

    @property
    def halved(self) -> int:
        """Batches that there was not enough memory for, and that were run in halves."""
        return self._encoder.counts.halved

    def features(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.floating]:
        """(n, layers, dim) of the texts; those that were never encoded are now, and are kept.

        Args:
            progress: called with the number of rows that are done.
        """
        keys = np.array([_key(text) for text in texts], f"S{KEY_BYTES}")
        distinct, first, row_of = np.unique(keys, return_index=True, return_inverse=True)
        features = np.empty((len(distinct), self._encoder.layers, self._encoder.dim), self.dtype)
        truncated = np.zeros(len(distinct), bool)
        missing = np.ones(len(distinct), bool)
        for segment in list(self._segments):
            self._look_up(segment, distinct, missing, features, truncated)
        self.found += int((~missing).sum())
        if missing.any():
            there = len(texts) - int(missing.sum())
            new, cut = self._encoder.encode_distinct(
                [texts[i] for i in first[missing]], "all", progress and (lambda done: progress(there + done))
            )
            features[missing], truncated[missing] = new, cut
            self._keep(distinct[missing], features[missing], cut)
        elif progress is not None:
            progress(len(texts))
        self.truncated += int(truncated[row_of].sum())
        return features[row_of]

    def _look_up(
        self,
        segment: _Segment,
        keys: NDArray[np.bytes_],
        missing: NDArray[np.bool_],
        features: NDArray[np.floating],
        truncated: NDArray[np.bool_],
    ) -> None:
        """Fill in the missing rows that the segment has."""
        at = np.minimum(np.searchsorted(segment.keys, keys), len(segment.keys) - 1)
        here = missing & (segment.keys[at] == keys)
        if not here.any():
            return
        try:
            segment.whole = segment.whole or self._store.find(self._step, segment.folder.name) is not None
            if not segment.whole:
                raise FileNotFoundError  # damaged, and set aside by the store
            rows = np.load(segment.folder / "features.npy", mmap_mode="r", allow_pickle=False)[at[here]]
            cut = np.load(segment.folder / "truncated.npy", allow_pickle=False)[at[here]]
        except FileNotFoundError:  # or set aside by another process
            self._segments.remove(segment)
            return
        features[here], truncated[here] = rows, cut
        missing[here] = False

    def _keep(self, keys: NDArray[np.bytes_], features: NDArray[np.floating], truncated: NDArray[np.bool_]) -> None:
        """Write a segment; `keys` are ascending."""
        content = hashlib.sha256(keys.tobytes()).hexdigest()
        recipe = Recipe(self._step, 1, {}, {**self._inputs, "keys": content}, self._encoder.numeric_class)

        def write(folder: Path) -> dict[str, int]:
            for name, values in (("keys", keys), ("features", features), ("truncated", truncated)):
                np.save(folder / f"{name}.npy", values, allow_pickle=False)
            return {"rows": len(keys)}

        segment = _open(self._store.build(recipe, write).path)
        assert segment is not None
        self._segments.append(segment)
        self.encoded += len(keys)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def _open(folder: Path) -> _Segment | None:
    """None where the folder is no whole segment; the store sets it aside when it is made again."""
    try:
        keys: NDArray[np.bytes_] = np.load(folder / "keys.npy", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return _Segment(folder, keys) if keys.ndim == 1 and len(keys) and keys.dtype == f"S{KEY_BYTES}" else None
