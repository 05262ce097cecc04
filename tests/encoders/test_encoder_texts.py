"""Texts of any kind, repeated, long or odd: each is computed once, and read as far as was asked."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from fake_backend import TEXTS, FakeBackend, Make
from fsat_tasks.encoders import encoder as encoder_module
from fsat_tasks.encoders.backends import Layers
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.store import Artefact


@settings(max_examples=30)
@given(texts=TEXTS, chunk=st.integers(1, 40))
def test_each_different_text_is_computed_once_and_every_row_has_its_own_features(
    make: Make, texts: list[str], chunk: int
) -> None:
    backend, alone = FakeBackend(), FakeBackend()
    encoder, single = make(backend), make(alone)
    done: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "CHUNK", chunk)
        features = encoder.encode(texts, progress=done.append)
    assert len(backend.rows) == encoder.counts.rows == len(set(texts))
    assert encoder.counts.size == sum(map(len, backend.rows))
    assert done == sorted(done)
    assert done[-1] == len(texts)
    for text, row in zip(texts, features, strict=True):
        np.testing.assert_array_equal(single.encode([text])[0], row)


@pytest.mark.parametrize("long_texts", ["cut", "mean"])
def test_texts_with_more_tokens_than_the_encoder_takes_are_counted(make: Make, long_texts: Literal["cut", "mean"]) -> None:
    encoder = make(FakeBackend(), long_texts)
    encoder.encode(["card", "word " * 254, "word " * 255, "word " * 3000, "word " * 255])  # 254 and two of the frame's
    assert encoder.counts.truncated == 2
    encoder.encode(["money"])
    assert encoder.counts.truncated == 2


# Long texts

LONG = ["some words of a long story, told twice. " * 70, "кот 猫 🎉 " * 200, "one more word " * 90]
SHORT = ["card", "", "the money is lost", "word " * 254]


def pieces_of(text: str, exported: Artefact) -> list[list[int]]:
    """Return the tokens of the whole text, cut by hand into pieces as long as the encoder takes, each with its end tokens."""
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
            total += len(piece) * real._backend.run({"input_ids": ids, "attention_mask": np.ones_like(ids)}, layers)[0].astype(
                np.float64
            )
            tokens += len(piece)
        by_hand = total / tokens
        by_hand /= np.linalg.norm(by_hand, axis=-1, keepdims=True)
        np.testing.assert_allclose(whole, by_hand, atol=1e-6)
        assert np.abs(whole - first).max() > 1e-3  # what comes later counts


@settings(max_examples=20)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6, unique=True), st.integers(1, 4))
def test_mean_of_pieces_depends_neither_on_the_batches_nor_on_the_memory(make: Make, words: list[int], chunk: int) -> None:
    texts = [f"number {count} " + "word " * count for count in words]
    expected = np.concatenate([make(FakeBackend(), "mean").encode([text], "all") for text in texts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder_module, "CHUNK", chunk)
        patch.setattr(FakeBackend, "batch_size", 2048)
        done: list[int] = []
        features = make(FakeBackend(fits=1), "mean").encode(texts, "all", done.append)
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
    whole = make(FakeBackend(), "mean").encode([text, "card"])
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)


def test_a_megabyte_of_words_is_read_to_its_end(make: Make) -> None:
    backend = FakeBackend()
    encoder = make(backend, "mean")
    encoder.encode(["word " * 199_999 + "money"])
    assert encoder.counts.truncated == encoder.counts.rows == 1
    assert sum(len(row) - 2 for row in backend.rows) == 200_000
    assert encoder.counts.size == 200_000 + 2 * len(backend.rows)
