"""Features agree with the libraries that the encoder comes from, whatever the text and whatever it is batched with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.encoders.backends import OnnxCpu
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.errors import DeviceError
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.session import open_session

NAME = "all-MiniLM-L6-v2"

ODD = [
    "my card has not arrived",
    "",
    " ",
    "\n\t",
    "🎉🎉🎉 👩‍👩‍👧",
    "word " * 1000,
    "кот 猫 γάτα قطة cat",
    "ZALGO Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "x" * 5000,
    "[CLS] [SEP] [PAD] [MASK] ##ing",
    "naïve café ﬁ ①",
    "\u200b\ufeff\x7f",
    "https://example.org/?q=1&r=%20#f",
]


@pytest.fixture(scope="module")
def encoder(demo_store: Path) -> Iterator[Encoder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_STORE", str(demo_store))  # read alone: the encoder is there already
        before = sorted((demo_store / "encoder").rglob("*"))
        loaded = load_encoder(NAME, device="cpu")
        assert sorted((demo_store / "encoder").rglob("*")) == before
        yield loaded


def test_last_layer_is_that_of_sentence_transformers(encoder: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(find_encoder(NAME).folder), device="cpu", local_files_only=True).encode(ODD)
    ours = encoder.encode(ODD)
    assert ours.shape == (len(ODD), encoder.dim)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_all_layers_are_the_hidden_states_of_transformers_pooled_by_hand(encoder: Encoder) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = str(find_encoder(NAME).folder)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    features = encoder.encode(ODD, layers="all")
    assert features.shape == (len(ODD), encoder.layers, encoder.dim) == (len(ODD), 7, 384)
    for text, ours in zip(ODD, features, strict=True):
        with torch.inference_mode():
            states = model(
                **tokenizer(text, return_tensors="pt", truncation=True, max_length=256), output_hidden_states=True
            ).hidden_states
        theirs = np.stack([layer[0].mean(0) / layer[0].mean(0).norm() for layer in states])  # (layers, dim)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_last_layer_is_the_last_of_all(encoder: Encoder) -> None:
    np.testing.assert_array_equal(encoder.encode(ODD[:3]), encoder.encode(ODD[:3], layers="all")[:, -1])


def test_features_have_unit_length_as_this_encoders_config_says(encoder: Encoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(encoder.encode(ODD), axis=1), 1, atol=1e-5)


def test_rows_keep_their_order_and_do_not_depend_on_their_batch(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'many words ' * (i % 7)}number {i}" for i in range(60)] + ODD
    together = encoder.encode(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_allclose(encoder.encode([texts[i] for i in order]), together[order], atol=1e-5)
    for batch in (1, 64):  # padded tokens: each row alone, and a few together
        monkeypatch.setattr(encoder, "_batch_size", batch)
        np.testing.assert_allclose(encoder.encode(texts), together, atol=1e-5)
    assert np.linalg.norm(together[0] - together[1]) > 0.01  # rows do differ


@settings(max_examples=20)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
def test_any_texts_have_finite_features_of_unit_length(encoder: Encoder, texts: list[str]) -> None:
    features = encoder.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    alone: NDArray[np.float32] = encoder.encode(texts[:1])
    np.testing.assert_allclose(features[:1], alone, atol=1e-5)


def test_no_texts_have_no_features(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)
    assert encoder.encode([], layers="all").shape == (0, encoder.layers, encoder.dim)


def test_progress_counts_up_to_the_number_of_rows(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_batch_size", 64)
    done: list[int] = []
    encoder.encode([f"text number {i}" for i in range(50)], progress=done.append)
    assert done == sorted(done)
    assert len(done) > 1
    assert done[-1] == 50


def test_texts_are_cut_at_the_encoders_number_of_tokens(encoder: Encoder) -> None:
    base = encoder.encode(["word " * 254])
    np.testing.assert_allclose(encoder.encode(["word " * 254 + "and something else entirely"]), base, atol=1e-5)
    assert np.abs(encoder.encode(["word " * 200 + "and something else entirely"]) - base).max() > 1e-3


# Devices


@pytest.mark.skipif(pick_device("auto") == "cuda", reason="needs a machine without a GPU")
def test_gpu_that_is_not_there_is_an_error_and_never_a_silent_fallback(demo_store: Path) -> None:
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(DeviceError, match=r"expected an NVIDIA GPU .* Use device auto or cpu"):
        pick_device("cuda")
    (path,) = demo_store.glob("encoder/*/*/encoder.onnx")
    with pytest.raises(Exception, match=r"(?i)cuda"):
        open_session(path, "cuda")


def test_session_on_the_processor_has_no_other_provider(encoder: Encoder) -> None:
    assert isinstance(encoder._backend, OnnxCpu)
    assert encoder._backend._session.get_providers() == ["CPUExecutionProvider"]
