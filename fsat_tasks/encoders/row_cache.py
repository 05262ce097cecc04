"""A cache of features by the keys of rows. An encoder encodes each row once for all tasks and runs.

A segment is an artefact with some rows: their keys, their features, and whether they were cut. New rows are written as
a new segment, and a segment is never changed. So if a run is killed, the next run finds the segments that the killed run wrote.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fsat_tasks.encoders.artefact import preparer_inputs
from fsat_tasks.encoders.encoder import Encoder, Progress
from fsat_tasks.inputs.modalities import find_modality
from fsat_tasks.inputs.modality import KEY_BYTES, Input
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.folders import list_folders

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RowCache", "Segment"]

SEGMENT, ROW = np.uint64(32), np.uint64(2**32 - 1)
"""A row's place is one integer: the segment's index, shifted left by `SEGMENT` bits, plus the row's index in
the segment. The mask `ROW` gives the row's index."""


class RowCache:
    """Features of the rows that an encoder has encoded, for all layers.

    Args:
        store: the store that holds the segments.
        encoder: the exported encoder's artefact.
        numeric_class: numeric class of the features. Rows of different classes are never mixed.
        open_encoder: function that opens the encoder. It is called once, and only if a row is missing.
    """

    def __init__(self, store: Store, encoder: Artefact, numeric_class: NumericClass, open_encoder: Callable[[], Encoder]) -> None:
        self._store, self._numeric_class, self._open_encoder = store, numeric_class, open_encoder
        self._inputs = preparer_inputs(encoder)
        self._step = f"rows-{Recipe('rows', versions.ROWS, {}, self._inputs, numeric_class).key[:16]}"
        config = encoder.json("encoder.json")
        self._modality = find_modality(config.get("inputs", "text"))
        self.shape: tuple[int, int] = (config["layers"], config["dim"])
        """(layers, dim) of one row."""
        self.dtype = np.dtype(np.float16 if config["normalize"] else np.float32)
        """float16 for unit vectors, because it keeps cosines to 1e-7; float32 for features of any other length."""
        self.encoded = self.found = 0
        """Counts of the distinct rows encoded, and of the distinct rows found in the cache."""
        self._whole: set[Path] = set()
        """Folders of segments whose checksums this object has verified."""
        self._list_segments()

    def _list_segments(self) -> None:
        self._folders = list_folders(self._store.root, self._step, "??", "[!.]*")
        found = [(number, keys) for number, folder in enumerate(self._folders) for keys in _load_keys(folder)]
        high = np.concatenate([np.empty(0, np.uint64), *(_high(keys) for _, keys in found)])
        place = np.concatenate([np.empty(0, np.uint64), *(_places(number, len(keys)) for number, keys in found)])
        order = np.argsort(high, kind="stable")
        self._high, self._place = high[order], place[order]
        """Two arrays (rows,): the first half of each key, in ascending order, and the place of the key's row."""

    @functools.cached_property
    def _encoder(self) -> Encoder:
        return self._open_encoder()

    @property
    def halved(self) -> int:
        """Number of batches that were split in half because memory was short."""
        return self._encoder.counts.halved if self.encoded else 0

    def features(self, inputs: Sequence[Input], progress: Progress | None = None) -> NDArray[np.floating]:
        """Return the rows' features (n, layers, dim); see `features_and_cuts`."""
        return self.features_and_cuts(inputs, progress)[0]

    def features_and_cuts(
        self, inputs: Sequence[Input], progress: Progress | None = None
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Return the rows' features (n, layers, dim), and a mask (n,) of the rows that are longer than the encoder reads.

        Missing rows are encoded and added to the cache.

        Args:
            progress: called with the number of rows done so far.
        """
        keys = np.array([self._modality.key(one) for one in inputs], f"S{KEY_BYTES}")
        distinct, first, row_of = np.unique(keys, return_index=True, return_inverse=True)
        features = np.empty((len(distinct), *self.shape), self.dtype)
        truncated = np.zeros(len(distinct), bool)
        missing = self._look_up(distinct, features, truncated)
        self.found += int((~missing).sum())
        if missing.any():
            there = len(inputs) - int(missing.sum())
            new, cut = self._encoder.encode_distinct(
                [inputs[i] for i in first[missing]], "all", progress and (lambda done: progress(there + done))
            )
            features[missing], truncated[missing] = new, cut
            self._keep(distinct[missing], features[missing], cut)
        elif progress is not None:
            progress(len(inputs))
        return features[row_of], truncated[row_of]

    def _look_up(
        self, keys: NDArray[np.bytes_], features: NDArray[np.floating], truncated: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Fill in the rows that the cache has, and return a mask (n,) of the missing rows."""
        missing = np.ones(len(keys), bool)
        if not len(self._high):
            return missing
        high = _high(keys)
        at = np.minimum(np.searchsorted(self._high, high), len(self._high) - 1)
        here, segment = self._high[at] == high, self._place[at] >> SEGMENT
        for number in np.unique(segment[here]).tolist():
            own = np.flatnonzero(here & (segment == number))
            try:
                same, features_there, truncated_there = self._load_rows(number, self._place[at[own]] & ROW, keys[own])
            except FileNotFoundError:  # the store moved a damaged segment away, or housekeeping merged it
                self._list_segments()
                return self._look_up(keys, features, truncated)
            own = own[same]
            features[own], truncated[own], missing[own] = features_there, truncated_there, False
        return missing

    def _load_rows(
        self, number: int, rows: NDArray[np.uint64], keys: NDArray[np.bytes_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.bool_]]:
        """Read rows of one segment.

        Returns:
            a mask (rows,) of the rows with the expected key. Then, for these rows only, the features
            (found, layers, dim) and a mask (found,) of the rows that were cut.
        """
        folder = self._folders[number]
        if folder not in self._whole and self._store.find(self._step, folder.name) is None:
            raise FileNotFoundError(folder)
        self._whole.add(folder)
        segment = Segment.read(folder)
        same = segment.keys[rows] == keys
        return same, segment.features[rows[same]], segment.truncated[rows[same]]

    def _keep(self, keys: NDArray[np.bytes_], features: NDArray[np.floating], truncated: NDArray[np.bool_]) -> None:
        """Write new rows as a segment. `keys` must be in ascending order."""
        segment = Segment(keys, features, truncated)
        high, place = _high(keys), _places(len(self._folders), len(keys))
        self._folders.append(segment.write(self._store, self._step, self._inputs, self._numeric_class).path)
        at = np.searchsorted(self._high, high)
        self._high, self._place = np.insert(self._high, at, high), np.insert(self._place, at, place)
        self.encoded += len(keys)


@dataclass(frozen=True)
class Segment:
    """Rows that are stored together as one artefact."""

    keys: NDArray[np.bytes_]  # (rows,) in ascending order
    features: NDArray[np.floating]  # (rows, layers, dim)
    truncated: NDArray[np.bool_]  # (rows,)

    def write(self, store: Store, step: str, inputs: Mapping[str, str], numeric_class: NumericClass) -> Artefact:
        """Write the segment to the store.

        Args:
            step: the step's name, under which the store keeps all segments of an encoder.
            inputs: sha256 of the encoder's files; see `preparer_inputs`.
            numeric_class: numeric class of the features.
        """
        content = hashlib.sha256(self.keys.tobytes()).hexdigest()
        recipe = Recipe(step, versions.SEGMENT, {}, {**inputs, "keys": content}, numeric_class)

        def save(folder: Path) -> dict[str, int]:
            for field in fields(self):
                np.save(folder / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)
            return {"rows": len(self.keys)}

        return store.build(recipe, save)

    @classmethod
    def read(cls, folder: Path) -> Segment:
        """Open a segment by memory mapping; nothing is read yet."""
        return cls(*(np.load(folder / f"{field.name}.npy", mmap_mode="r", allow_pickle=False) for field in fields(cls)))


def _high(keys: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Return (rows,) the first half of each key, as an integer.

    Looking integers up is ten times as fast as looking bytes up, and takes half the memory.
    """
    return keys.view(">u8")[::2].astype(np.uint64)


def _places(segment: int, rows: int) -> NDArray[np.uint64]:
    """Return (rows,) the places of all rows of a segment."""
    return np.arange(rows, dtype=np.uint64) | (np.uint64(segment) << SEGMENT)


def _load_keys(folder: Path) -> list[NDArray[np.bytes_]]:
    """Return a list with the segment's keys, or an empty list if the file is damaged."""
    try:
        keys: NDArray[np.bytes_] = np.load(folder / "keys.npy", allow_pickle=False)
    except (OSError, ValueError):
        return []
    return [keys] if keys.ndim == 1 and keys.dtype == f"S{KEY_BYTES}" else []
