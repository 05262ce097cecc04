"""Rows are encoded once, whoever asks, and the cache gives the features that the encoder would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.row_cache import RowCache
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.inputs.text import Texts
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store import Artefact, Store

TEXTS = [f"{'many words ' * (i % 5)}number {i}" for i in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def open_cache(store: Store, exported: Artefact) -> RowCache:
    return RowCache(store, exported, NumericClass.parse("onnxruntime-cpu-fp32"), lambda: Encoder(exported, "cpu"))


def test_features_are_the_encoders_in_half_precision_in_the_order_of_the_texts(
    store: Store, real: Encoder, exported: Artefact
) -> None:
    found = open_cache(store, exported).features(TEXTS)
    exact = real.encode(TEXTS, "all")
    np.testing.assert_array_equal(found, exact.astype(np.float16))
    lengths = np.linalg.norm(found.astype(np.float64), axis=-1)
    assert ((found.astype(np.float64) * exact).sum(axis=-1) / lengths).min() > 1 - 1e-6


def test_what_was_encoded_is_not_encoded_again_by_another_process(store: Store, exported: Artefact) -> None:
    first = open_cache(store, exported)
    before = first.features(TEXTS)
    again = open_cache(store, exported)
    np.testing.assert_array_equal(again.features(TEXTS[::-1]), before[::-1])
    assert (first.encoded, first.found) == (40, 0)
    assert (again.encoded, again.found) == (0, 40)


def test_ten_new_rows_cost_ten_rows(store: Store, exported: Artefact) -> None:
    open_cache(store, exported).features(TEXTS)
    cache = open_cache(store, exported)
    cache.features([*TEXTS[:20], *(f"new row {i}" for i in range(10)), *TEXTS[20:]])
    assert (cache.encoded, cache.found) == (10, 40)


def test_repeated_rows_are_encoded_once(store: Store, exported: Artefact) -> None:
    cache = open_cache(store, exported)
    found = cache.features([*TEXTS, *TEXTS, *TEXTS])
    cache.features(TEXTS)
    assert (cache.encoded, cache.found) == (40, 40)
    np.testing.assert_array_equal(found[:40], found[80:])


def test_bits_do_not_depend_on_what_was_there_before(tmp_path: Path, exported: Artefact) -> None:
    cold = open_cache(Store(tmp_path / "cold"), exported).features(TEXTS)
    warm = open_cache(Store(tmp_path / "warm"), exported)
    for start in (30, 7, 12):
        warm.features(TEXTS[start : start + 5])
    np.testing.assert_array_equal(warm.features(TEXTS), cold)


@pytest.mark.parametrize("name", ["keys.npy", "features.npy", "truncated.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_segments_are_encoded_again(name: str, damage: str, store: Store, exported: Artefact) -> None:
    before = open_cache(store, exported).features(TEXTS)
    (file,) = store.root.glob(f"rows-*/*/*/{name}")
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    cache = open_cache(store, exported)
    np.testing.assert_array_equal(cache.features(TEXTS), before)
    assert cache.encoded > 0
    assert open_cache(store, exported).features(TEXTS).tobytes() == before.tobytes()


def test_progress_counts_the_rows_that_were_there(store: Store, exported: Artefact) -> None:
    done: list[int] = []
    open_cache(store, exported).features(TEXTS[:30])
    open_cache(store, exported).features(TEXTS, done.append)
    assert done[0] > 30 or done == [40]
    assert done[-1] == 40
    open_cache(store, exported).features(TEXTS, done.append)
    assert done[-1] == 40


def test_cut_texts_are_told_whether_they_are_encoded_or_found(store: Store, exported: Artefact) -> None:
    for _ in range(2):
        _, cut = open_cache(store, exported).features_and_cuts(["word " * 1000, "short", "word " * 1000])
        assert cut.tolist() == [True, False, True]


def test_encoder_is_not_opened_where_all_is_there(store: Store, exported: Artefact) -> None:
    before = open_cache(store, exported).features(TEXTS)
    cache = RowCache(store, exported, NumericClass.parse("onnxruntime-cpu-fp32"), lambda: pytest.fail("opened"))
    np.testing.assert_array_equal(cache.features(TEXTS), before)


def test_segment_that_is_damaged_does_not_cost_the_rows_of_others(store: Store, exported: Artefact) -> None:
    expected = open_cache(store, exported).features(TEXTS)
    (whole,) = store.root.glob("rows-*/*/*")
    whole.rename(store.root / "aside")
    for start in (0, 10, 20, 30):
        open_cache(store, exported).features(TEXTS[start : start + 10])
    damaged = sorted(store.root.glob("rows-*/*/*/features.npy"))[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    cache = open_cache(store, exported)
    np.testing.assert_array_equal(cache.features(TEXTS), expected)
    assert (cache.encoded, cache.found) == (10, 30)


def test_rows_with_half_a_key_in_common_are_told_apart(store: Store, exported: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Texts()
    monkeypatch.setattr(Texts, "key", lambda _, row: b"same----" + Modality.key(texts, row)[:8])
    expected = open_cache(store, exported).features(TEXTS)
    cache = open_cache(store, exported)
    np.testing.assert_array_equal(cache.features(TEXTS), expected)
    assert len(np.unique(expected[:, -1], axis=0)) == len(TEXTS)


def test_no_texts_have_no_features(store: Store, exported: Artefact) -> None:
    assert open_cache(store, exported).features([]).shape == (0, 7, 384)
