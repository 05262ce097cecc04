"""Small segments of the row cache become one, with the same bits, beside runs that use them."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.lease import gate, last_use, tick
from fsat_tasks.store.manifest import read_manifest
from swept_store import TEXTS, encode, segments


def test_small_segments_become_one_with_the_same_bits_and_nothing_is_encoded_again(
    store: Store, encoder: Artefact, rows: np.ndarray
) -> None:
    report = housekeep(store, 7)
    assert report["merged"] == {"segments": 10, "into": 1}
    (merged,) = segments(store)
    assert read_manifest(merged)[0] is None
    cache, found = encode(store, encoder, TEXTS)
    assert cache.encoded == 0
    assert cache.features_and_cuts(TEXTS)[1].tolist() == [len(text) % 2 == 0 for text in TEXTS]
    assert found.tobytes() == rows.tobytes()
    assert housekeep(store, 7)["merged"] == {"segments": 0, "into": 0}
    encode(store, encoder, ["one more"])
    housekeep(store, 7)
    assert encode(store, encoder, [*TEXTS, "one more"])[0].encoded == 0


def test_rows_that_two_segments_have_are_there_once(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    shutil.move(store.root, store.root.with_name("one"))
    store.root.mkdir()
    shutil.copytree(store.root.with_name("one") / "encoder", store.root / "encoder")
    encode(store, encoder, TEXTS[2:7])
    shutil.copytree(store.root.with_name("one"), store.root, dirs_exist_ok=True)
    housekeep(store, 7)
    (merged,) = segments(store)
    assert len(np.load(merged / "keys.npy")) == 40
    assert encode(store, encoder, TEXTS)[1].tobytes() == rows.tobytes()


def test_reader_that_looked_before_the_merge_finds_its_rows_after_it(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    made = max(last_use(path.parent) for path in store.root.glob("rows-*/*/*/manifest.json"))
    with gate(store.root):
        while tick(store.root) <= made:  # what was made in the very tick in which a lease begins may be in use
            pass
    with store.in_use():
        assert store.find("encoder", encoder.key) is not None
        cache, _ = encode(store, encoder, TEXTS[:4])
        report = housekeep(store, 0)
        assert report["merged"] == {"segments": 9, "into": 1}  # and not the one that is in use
        assert cache.features(TEXTS).tobytes() == rows.tobytes()
        assert cache.encoded == 0


def test_segment_that_a_run_begins_to_use_while_it_is_merged_stays(
    store: Store, encoder: Artefact, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsat_tasks.encoders import row_merge

    run = store.in_use()
    merge = row_merge.merge

    def begin(*arguments: Any) -> Artefact | None:
        run.__enter__()
        encode(store, encoder, TEXTS[:4])
        return merge(*arguments)

    monkeypatch.setattr(row_merge, "merge", begin)
    assert housekeep(store, 7)["merged"] == {"segments": 9, "into": 1}
    run.__exit__(None, None, None)
    assert len(segments(store)) == 2
    assert encode(store, encoder, TEXTS)[0].encoded == 0


def test_damaged_segment_is_not_merged(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    damaged = segments(store)[3] / "features.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    housekeep(store, 7)
    cache, found = encode(store, encoder, TEXTS)
    assert cache.encoded == 4
    assert found.tobytes() == rows.tobytes()
