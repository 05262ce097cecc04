"""Small segments of the row cache become larger ones: the same rows, the same bits, fewer files to look into."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fsat_tasks.encoders.row_cache import Segment
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.artefact import read_manifest

__all__ = ["groups", "merge"]

SMALL = 16 << 20
"""Bytes of a segment's features below which it is merged: a shard of 4,096 rows has more."""
MERGED = 64 << 20
"""Bytes of a merged segment's features, at most. It is made in memory, and its checksum is compared whole."""


def groups(segments: Iterable[Path]) -> list[list[Path]]:
    """Segments to make one of each: of one encoder, small, and at least two."""
    return [
        group for _, own in itertools.groupby(segments, lambda path: path.parent.parent) for group in _pack(own) if len(group) > 1
    ]


def merge(store: Store, segments: list[Path]) -> Artefact | None:
    """Write one segment with the rows of all; None where fewer than two are whole. They themselves stay."""
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
    inputs = {name: manifest["inputs"][name] for name in ("encoder", "tokenizer")}
    return Segment(keys, features, truncated).write(
        store, manifest["step"], inputs, NumericClass.parse(manifest["numeric_class"])
    )


def _pack(segments: Iterable[Path]) -> Iterator[list[Path]]:
    """Lists of small segments, each as long as one merged segment may be."""
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
    """Of the features; 0 where they are gone."""
    try:
        return (folder / "features.npy").stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
