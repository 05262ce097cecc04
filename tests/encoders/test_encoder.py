"""Features agree with the libraries that the encoder comes from, whatever the text and whatever it is batched with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.encoders.backends import OnnxCpu
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.errors import DeviceError, EncoderError
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
        monkeypatch.setattr(encoder, "_tokens", batch)
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
    monkeypatch.setattr(encoder, "_tokens", 64)
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


# Names and folders


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "..",
        ".",
        "/etc",
        "/abs/model",
        "a/b/c",
        "a/..",
        "a/../b",
        "../../x/y",
        ".hidden",
        "a/.git",
        "a\\b",
        "",
        "a/",
        "~/x",
        "a b",
    ],
)
def test_name_that_is_a_path_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FSAT_ENCODERS", str(tmp_path))
    with pytest.raises(EncoderError, match="expected a name such as org/model, got something else"):
        find_encoder(name)


@given(st.text(max_size=20))
def test_name_that_is_looked_up_stays_below_the_folder(name: str) -> None:
    from fsat_tasks.encoders.source import _locate

    root = Path("/nowhere/encoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_ENCODERS", str(root))
        patch.setattr(Path, "is_dir", lambda path: True)
        try:
            folder = _locate(name)
        except EncoderError:
            return
    assert name in ("all-MiniLM-L6-v2",) or Path(os.path.normpath(folder)) == folder
    assert folder.is_relative_to(root)
    assert folder != root


def test_name_that_is_not_there_is_said_with_what_to_do() -> None:
    with pytest.raises(EncoderError, match=r"'org/nowhere'.*Bundled: all-MiniLM-L6-v2.*hf download org/nowhere"):
        find_encoder("org/nowhere")


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """org/model below FSAT_ENCODERS: the bundled encoder's files, which a test may replace."""
    folder = tmp_path / "encoders" / "org" / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    source = find_encoder(NAME).folder
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source).parts[0] != "1_Pooling":
            (folder / path.relative_to(source)).symlink_to(path)
    (folder / "1_Pooling" / "config.json").write_bytes((source / "1_Pooling" / "config.json").read_bytes())
    monkeypatch.setenv("FSAT_ENCODERS", str(tmp_path / "encoders"))
    return folder


def replace_json(path: Path, value: object) -> None:
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(value))


def test_folder_below_fsat_encoders_is_found_and_has_the_revision_of_its_contents(model_folder: Path) -> None:
    found, bundled = find_encoder("org/model"), find_encoder(NAME)
    assert found.folder == model_folder
    assert (found.pooling, found.normalize, found.max_tokens) == ("mean", True, 256)
    assert found.revision == bundled.revision


def test_revision_changes_with_whatever_changes_the_features(model_folder: Path) -> None:
    revisions = [find_encoder("org/model").revision, find_encoder("org/model", max_tokens=64).revision]
    replace_json(model_folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    revisions.append(find_encoder("org/model").revision)
    replace_json(model_folder / "modules.json", [])
    revisions.append(find_encoder("org/model").revision)
    (model_folder / "vocab.txt").unlink()
    revisions.append(find_encoder("org/model").revision)
    assert len(set(revisions)) == 5


def test_pooling_and_length_are_those_of_the_encoders_own_config(model_folder: Path) -> None:
    replace_json(model_folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False})
    replace_json(model_folder / "sentence_bert_config.json", {"max_seq_length": 100})
    source = find_encoder("org/model")
    assert (source.pooling, source.normalize, source.max_tokens) == ("cls", True, 100)
    assert find_encoder("org/model", max_tokens=50).max_tokens == 50
    assert find_encoder("org/model", max_tokens=5000).max_tokens == 100
    (model_folder / "sentence_bert_config.json").unlink()
    assert find_encoder("org/model").max_tokens == 512
    (model_folder / "modules.json").unlink()  # a plain transformers model: mean over the tokens, length as it is
    assert (find_encoder("org/model").pooling, find_encoder("org/model").normalize) == ("mean", False)


def test_pooling_that_is_not_known_is_refused_by_name(model_folder: Path) -> None:
    replace_json(model_folder / "1_Pooling" / "config.json", {"pooling_mode_max_tokens": True})
    with pytest.raises(EncoderError, match=r"expected mean or cls pooling, got .*max_tokens"):
        find_encoder("org/model")


def test_weights_that_can_run_code_are_refused(model_folder: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    (model_folder / "pytorch_model.bin").write_bytes(b"code")
    with pytest.raises(EncoderError, match=r"expected safetensors weights .*, got none"):
        find_encoder("org/model")


@pytest.mark.parametrize("content", ["", "{", None])
def test_folder_without_a_readable_config_is_refused(content: str | None, model_folder: Path) -> None:
    (model_folder / "config.json").unlink()
    if content is not None:
        (model_folder / "config.json").write_text(content)
    with pytest.raises(EncoderError, match=r"encoder 'org/model': expected a readable .*config\.json"):
        find_encoder("org/model")


def test_prefix_of_the_encoders_config_comes_before_every_text(model_folder: Path, store_root: Path) -> None:
    from sentence_transformers import SentenceTransformer

    (model_folder / "config_sentence_transformers.json").unlink(missing_ok=True)
    prompts = {"prompts": {"ask": "Instruct: find the intent. Query: "}, "default_prompt_name": "ask"}
    replace_json(model_folder / "config_sentence_transformers.json", prompts)
    texts = ["my card has not arrived", "Wo ist meine Karte?", "word " * 1000]
    theirs = SentenceTransformer(str(model_folder), device="cpu", local_files_only=True).encode(texts)
    ours = load_encoder("org/model", "cpu")
    np.testing.assert_allclose(ours.encode(texts), theirs, atol=1e-4)
    assert len(ours.tokens(["a"])[0]) > 8


def test_prefix_that_is_not_there_is_refused(model_folder: Path) -> None:
    replace_json(model_folder / "config_sentence_transformers.json", {"prompts": {}, "default_prompt_name": "query"})
    with pytest.raises(EncoderError, match="expected the prompt 'query' among the prompts"):
        find_encoder("org/model")


def test_prefix_that_is_not_pooled_is_refused(model_folder: Path) -> None:
    replace_json(model_folder / "config_sentence_transformers.json", {"prompts": {"q": "q: "}, "default_prompt_name": "q"})
    replace_json(model_folder / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True, "include_prompt": False})
    with pytest.raises(EncoderError, match="include_prompt: false"):
        find_encoder("org/model")


def test_pooling_that_no_config_names_is_the_mean_with_a_warning(
    model_folder: Path, store_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (model_folder / "modules.json").unlink()
    monkeypatch.setattr("fsat_tasks.encoders.graph.PooledEncoder", lambda *_: 1 / 0)  # the export itself is tested elsewhere
    with pytest.raises(EncoderError, match="ZeroDivisionError"):
        load_encoder("org/model", "cpu")
    assert "names no pooling; the mean over tokens is taken" in caplog.text
