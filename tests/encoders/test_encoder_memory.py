"""Whatever memory there is and whatever the texts, features are the same; what cannot go on ends at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fsat_tasks.encoders import encoder as encoder_module
from fsat_tasks.encoders.backends import Layers
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.errors import DeviceError, OutOfMemoryError
from fsat_tasks.store import Artefact, Store

DIM, LAYERS = 384, 7
TABLE = np.random.default_rng(0).normal(size=(997, DIM)).astype(np.float32)
WORDS = st.sampled_from(["card", "lost", "the", "money", "🎉", "é", ""])
TEXTS = st.lists(st.lists(WORDS, max_size=4).map(" ".join), min_size=1, max_size=30)


class Fake:
    """Features that tell ids apart at no cost. `fits` rows have room; call number `breaks` and those after it fail."""

    tokens, workers, one_length = 64, 2, True

    def __init__(self, fits: int | None = None, breaks: int | None = None, seconds: float = 0) -> None:
        self.fits, self.breaks, self.seconds = fits, breaks, seconds
        self.asked: list[int] = []
        """Rows of each call."""
        self.rows: list[list[int]] = []
        """Ids of each row that was computed."""

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        self.asked.append(len(ids))
        time.sleep(self.seconds)
        if self.breaks is not None and len(self.asked) >= self.breaks:
            raise DeviceError("device cuda", "a GPU that answers", "none")
        if self.fits is not None and len(ids) > self.fits:
            raise OutOfMemoryError(f"{len(ids)} rows")
        self.rows += [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)]
        return np.stack([self.features(row[kept == 1], layers) for row, kept in zip(ids, mask, strict=True)])

    @staticmethod
    def features(row: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        every = np.stack([TABLE[(row * (layer + 1)) % len(TABLE)].mean(axis=0) for layer in range(LAYERS)])
        every /= np.linalg.norm(every, axis=1, keepdims=True)
        result: NDArray[np.float32] = every if layers == "all" else every[-1]
        return result


@pytest.fixture(scope="module")
def exported(demo_store: Path) -> Artefact:
    return export_encoder(find_encoder("all-MiniLM-L6-v2"), Store(demo_store))  # found there, not made


@pytest.fixture(scope="module")
def real(exported: Artefact) -> Encoder:
    return Encoder(exported, "cpu")


Make = Callable[..., Encoder]


@pytest.fixture(scope="module")
def make(exported: Artefact) -> Make:
    """An encoder that runs a backend: make(Fake()), without a session of ONNX Runtime."""

    def encoder(backend: Fake, long_texts: Literal["cut", "mean"] = "cut") -> Encoder:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoder_module, "open_backend", lambda *_: backend)
            return Encoder(exported, "cpu", long_texts=long_texts)

    return encoder


# Memory


@settings(max_examples=30)
@given(texts=TEXTS, fits=st.integers(1, 8))
def test_features_are_the_same_where_only_some_rows_fit_at_a_time(make: Make, texts: list[str], fits: int) -> None:
    with_room, without = Fake(), Fake(fits)
    for layers in ("last", "all"):
        np.testing.assert_array_equal(make(without).encode(texts, layers), make(with_room).encode(texts, layers))
    assert sorted(without.rows) == sorted(with_room.rows)  # nothing is computed again


def test_batch_that_does_not_fit_runs_in_halves_and_later_batches_are_smaller(make: Make) -> None:
    backend = Fake(fits=3)
    encoder = make(backend)
    encoder.encode([f"card {i}" for i in range(40)])  # (40, 4) tokens: 16 rows a batch
    assert max(backend.asked) == 16
    assert encoder.counts.halved >= 3
    before = encoder.counts.halved
    backend.asked.clear()
    encoder.encode([f"money {i}" for i in range(40)])
    assert max(backend.asked) <= 3
    assert encoder.counts.halved == before


def test_encoder_that_has_room_halves_nothing(make: Make) -> None:
    backend = Fake()
    encoder = make(backend)
    encoder.encode([f"card {i}" for i in range(40)])
    assert backend.asked == [16, 16, 8]
    assert encoder.counts.halved == 0


def test_row_that_does_not_fit_alone_is_an_out_of_memory_error(make: Make) -> None:
    backend = Fake(fits=0)
    with pytest.raises(OutOfMemoryError, match="1 rows"):
        make(backend).encode(["card", "money", "lost", "the"])
    assert backend.asked == [4, 2, 1]  # and no further row is tried


# A GPU that is gone


@pytest.mark.parametrize("chunk", [8192, 32])
def test_device_error_ends_the_call_and_no_thread_goes_on(make: Make, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "CHUNK", chunk)
    backend = Fake(breaks=3, seconds=0.005)
    threads = threading.active_count()
    encoder = make(backend)
    with pytest.raises(DeviceError, match="a GPU that answers"):
        encoder.encode([f"card {i}" for i in range(3200)])  # 200 batches
    calls = len(backend.asked)
    assert calls < 30
    assert threading.active_count() == threads
    time.sleep(0.05)
    assert len(backend.asked) == calls
    assert encoder.counts.rows == 0


def test_encoder_can_be_used_again_after_an_error(make: Make) -> None:
    backend = Fake(breaks=1)
    encoder = make(backend)
    with pytest.raises(DeviceError):
        encoder.encode(["card"])
    backend.breaks = None
    np.testing.assert_array_equal(encoder.encode(["card"]), make(Fake()).encode(["card"]))


def test_error_that_a_progress_bar_raises_ends_the_call_too(make: Make) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    backend = Fake(seconds=0.005)
    with pytest.raises(KeyboardInterrupt):
        make(backend).encode([f"card {i}" for i in range(3200)], progress=stop)
    assert len(backend.asked) < 30


# Texts


@settings(max_examples=30)
@given(texts=TEXTS, chunk=st.integers(1, 40))
def test_each_different_text_is_computed_once_and_every_row_has_its_own_features(
    make: Make, texts: list[str], chunk: int
) -> None:
    backend, alone = Fake(), Fake()
    encoder, single = make(backend), make(alone)
    done: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "CHUNK", chunk)
        features = encoder.encode(texts, progress=done.append)
    assert len(backend.rows) == encoder.counts.rows == len(set(texts))
    assert encoder.counts.tokens == sum(map(len, backend.rows))
    assert done == sorted(done)
    assert done[-1] == len(texts)
    for text, row in zip(texts, features, strict=True):
        np.testing.assert_array_equal(single.encode([text])[0], row)


@pytest.mark.parametrize("long_texts", ["cut", "mean"])
def test_texts_with_more_tokens_than_the_encoder_takes_are_counted(make: Make, long_texts: Literal["cut", "mean"]) -> None:
    encoder = make(Fake(), long_texts)
    encoder.encode(["card", "word " * 254, "word " * 255, "word " * 3000, "word " * 255])  # 254 and two of the frame's
    assert encoder.counts.truncated == 2
    encoder.encode(["money"])
    assert encoder.counts.truncated == 2


LONG = ["some words of a long story, told twice. " * 70, "кот 猫 🎉 " * 200, "one more word " * 90]
SHORT = ["card", "", "the money is lost", "word " * 254]


def pieces_of(text: str, exported: Artefact) -> list[list[int]]:
    """The tokens of the whole text, cut by hand: as many a piece as the encoder takes, each with its frame."""
    tokenizer = Tokenizer.from_file(str(exported.path / "tokenizer.json"))
    tokenizer.no_padding()
    overflow = tokenizer.encode(text)
    tokenizer.no_truncation()
    begin, *words, end = tokenizer.encode(text).ids
    pieces = [[begin, *words[start : start + 254], end] for start in range(0, len(words), 254)]
    assert [overflow.ids, *(piece.ids for piece in overflow.overflowing)] == pieces  # what the tokenizer itself says
    return pieces


@pytest.mark.parametrize("layers", ["last", "all"])
def test_long_text_has_the_mean_of_its_pieces_by_tokens_and_a_short_one_is_as_it_was(
    layers: Layers, exported: Artefact, real: Encoder
) -> None:
    texts = [SHORT[0], LONG[0], *SHORT[1:3], *LONG[1:], SHORT[3]]
    cut, mean = real.encode(texts, layers), Encoder(exported, "cpu", long_texts="mean").encode(texts, layers)
    for text, first, whole in zip(texts, cut, mean, strict=True):
        if text in SHORT:
            np.testing.assert_array_equal(whole, first)
            continue
        total, tokens = np.zeros(first.shape), 0
        for piece in pieces_of(text, exported):
            ids = np.array([piece])
            total += len(piece) * real._backend.run(ids, np.ones_like(ids), layers)[0].astype(np.float64)
            tokens += len(piece)
        by_hand = total / tokens
        by_hand /= np.linalg.norm(by_hand, axis=-1, keepdims=True)
        np.testing.assert_allclose(whole, by_hand, atol=1e-6)
        assert np.abs(whole - first).max() > 1e-3  # what comes later counts


@settings(max_examples=20)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6, unique=True), st.integers(1, 4))
def test_mean_of_pieces_depends_neither_on_the_batches_nor_on_the_memory(make: Make, words: list[int], chunk: int) -> None:
    texts = [f"number {count} " + "word " * count for count in words]
    expected = np.concatenate([make(Fake(), "mean").encode([text], "all") for text in texts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "CHUNK", chunk)
        patch.setattr(Fake, "tokens", 2048)
        done: list[int] = []
        features = make(Fake(fits=1), "mean").encode(texts, "all", done.append)
    np.testing.assert_array_equal(features, expected)
    assert done == sorted(done)
    assert done[-1] == len(texts)


@pytest.mark.parametrize(
    "text",
    ["word " * 200_000, "x" * 1_000_000, "🎉👩‍👩‍👧" * 50_000, "e\u0301" * 300_000, "\u0301" * 1000, "\0" * 1000],
    ids=["1 MB of words", "1 MB in one word", "emoji", "combining characters", "combining characters alone", "zero bytes"],
)
def test_any_text_however_long_has_features_of_unit_length(text: str, real: Encoder, make: Make) -> None:
    np.testing.assert_allclose(np.linalg.norm(real.encode([text, "card"]), axis=1), 1, atol=1e-5)
    whole = make(Fake(), "mean").encode([text, "card"])
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)


def test_a_megabyte_of_words_is_read_to_its_end(make: Make) -> None:
    backend = Fake()
    encoder = make(backend, "mean")
    encoder.encode(["word " * 199_999 + "money"])
    assert encoder.counts.truncated == encoder.counts.rows == 1
    assert sum(len(row) - 2 for row in backend.rows) == 200_000
    assert encoder.counts.tokens == 200_000 + 2 * len(backend.rows)
