"""Merge small segments of the row cache into larger ones. The rows stay the same to the last bit, in fewer files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fsat_tasks.encoders.row_cache import Segment
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.manifest import read_manifest

__all__ = ["groups", "merge"]

SMALL = 16 << 20
"""Segments whose features have fewer bytes than this are merged. A segment of 4,096 rows, one shard of `extract`, is larger."""
MERGED = 64 << 20
"""Maximum size in bytes of a merged segment's features. There is a maximum because a segment is built in memory,
and is read as a whole to verify its checksum."""


def groups(segments: Iterable[Path]) -> list[list[Path]]:
    """Return groups of segments to merge. Each has at least two small segments of the same encoder and numeric class."""
    return [
        group for _, own in itertools.groupby(segments, lambda path: path.parent.parent) for group in _pack(own) if len(group) > 1
    ]


def merge(store: Store, segments: list[Path]) -> Artefact | None:
    """Write one segment with the rows of all the given segments. The given segments are not removed.

    Returns:
        the new segment's artefact, or None if fewer than two of the segments are intact.
    """
    whole: list[tuple[Segment, dict[str, Any]]] = []
    for folder in segments:
        problem, manifest = read_manifest(folder, store.sha256)
        if problem is None:
            whole.append((Segment.read(folder), manifest))
    if len(whole) < 2:
        return None
    manifest = whole[0][1]
    keys, first = np.unique(np.concatenate([segment.keys for segment, _ in whole]), return_index=True)
    features, truncated = (
        np.concatenate([getattr(segment, name) for segment, _ in whole])[first] for name in ("features", "truncated")
    )
    inputs = {name: sha256 for name, sha256 in manifest["inputs"].items() if name != "keys"}
    return Segment(keys, features, truncated).write(
        store, manifest["step"], inputs, NumericClass.parse(manifest["numeric_class"])
    )


def _pack(segments: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield lists of small segments whose total size fits one merged segment."""
    group, total = list[Path](), 0
    for folder in segments:
        size = _bytes(folder)
        if not 0 < size < SMALL:
            continue
        if total + size > MERGED:
            yield group
            group, total = [], 0
        group.append(folder)
        total += size
    yield group


def _bytes(folder: Path) -> int:
    """Return the size of a segment's features in bytes; 0 if the file is gone."""
    try:
        return (folder / "features.npy").stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
