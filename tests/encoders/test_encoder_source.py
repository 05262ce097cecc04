"""An encoder is found by its name alone, and read as its own config says. An unsound one is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.encoders.encoder import load_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.errors import EncoderError

NAME = "all-MiniLM-L6-v2"


# Names


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
    from fsat_tasks.encoders.source import locate_encoder

    root = Path("/nowhere/encoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_ENCODERS", str(root))
        patch.setattr(Path, "is_dir", lambda path: True)
        try:
            folder = locate_encoder(name)
        except EncoderError:
            return
    assert name in ("all-MiniLM-L6-v2",) or Path(os.path.normpath(folder)) == folder
    assert folder.is_relative_to(root)
    assert folder != root


def test_name_that_is_not_there_is_said_with_what_to_do() -> None:
    with pytest.raises(EncoderError, match=r"'org/nowhere'.*Bundled: all-MiniLM-L6-v2.*hf download org/nowhere"):
        find_encoder("org/nowhere")


# Folders


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """org/model below FSAT_ENCODERS: the bundled encoder's files, which a test may replace."""
    folder = tmp_path / "encoders" / "org" / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    source = find_encoder(NAME).folder
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source).parts[0] != "1_Pooling":
            place = folder / path.relative_to(source)
            if path.suffix in (".json", ".txt", ".md"):
                shutil.copyfile(path, place)  # no link: a test that writes to it must not change the installed package
            else:
                place.symlink_to(path)
    (folder / "1_Pooling" / "config.json").write_bytes((source / "1_Pooling" / "config.json").read_bytes())
    monkeypatch.setenv("FSAT_ENCODERS", str(tmp_path / "encoders"))
    return folder


def replace(path: Path, content: str) -> None:
    """Write a file anew, because the one that is there may be a link to that of the installed package."""
    path.unlink(missing_ok=True)
    path.write_text(content)


def replace_json(path: Path, value: object) -> None:
    replace(path, json.dumps(value))


def test_folder_below_fsat_encoders_is_found_and_has_the_revision_of_its_contents(model_folder: Path) -> None:
    found, bundled = find_encoder("org/model"), find_encoder(NAME)
    assert found.folder == model_folder
    assert found.settings == {"pooling": "mean", "normalize": True, "max_tokens": 256}
    assert found.revision == bundled.revision


def test_revision_changes_with_whatever_changes_the_features(model_folder: Path) -> None:
    revisions = [find_encoder("org/model").revision, find_encoder("org/model", longest=64).revision]
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
    assert source.settings == {"pooling": "cls", "normalize": True, "max_tokens": 100}
    assert find_encoder("org/model", longest=50).settings["max_tokens"] == 50
    assert find_encoder("org/model", longest=5000).settings["max_tokens"] == 100
    (model_folder / "sentence_bert_config.json").unlink()
    assert find_encoder("org/model").settings["max_tokens"] == 512
    (model_folder / "modules.json").unlink()  # a plain transformers model: mean over the tokens, length as it is
    assert find_encoder("org/model").settings == {"pooling": "mean", "normalize": False, "max_tokens": 512}


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
    assert ours.prepare(["a"])[0].size > 8


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
    model_folder: Path, store_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (model_folder / "modules.json").unlink()
    (model_folder / "model.safetensors").unlink()
    (model_folder / "model.safetensors").write_bytes(b"no weights")  # the export itself is tested elsewhere
    with pytest.raises(EncoderError, match=r"a model that can be loaded from .*, got SafetensorError"):
        load_encoder("org/model", "cpu")
    assert "names no pooling; the mean over tokens is taken" in caplog.text


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../..", 7, None])
def test_list_of_modules_that_leads_out_of_the_encoders_folder_is_refused(path: object, model_folder: Path) -> None:
    replace_json(model_folder / "modules.json", [{"type": "sentence_transformers.models.Pooling", "path": path}])
    with pytest.raises(EncoderError, match=r"modules\.json: expected folders below its own, got "):
        find_encoder("org/model")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer_config.json", "config_sentence_transformers.json", "tokenizer.json", "modules.json"]
)
def test_what_is_no_file_is_refused(name: str, make: Callable[[Path], object], model_folder: Path) -> None:
    (model_folder / name).unlink(missing_ok=True)
    make(model_folder / name)
    with pytest.raises(EncoderError, match=r"expected .*, got .*(directory|a pipe or a device)"):
        find_encoder(model_folder)


@pytest.mark.parametrize("content", ["5", "null", "[" * 100_000, '[["a", 1]]', '"text"', ""])
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "config_sentence_transformers.json", "modules.json"])
def test_settings_that_are_no_object_are_refused(file: str, content: str, model_folder: Path) -> None:
    replace(model_folder / file, content)
    with pytest.raises(EncoderError, match=file):
        find_encoder("org/model")


@pytest.mark.parametrize("value", ["x", [1], {}, {"a": 1}, -1, 1e999, "1"])
@pytest.mark.parametrize("key", ["max_position_embeddings", "pad_token_id"])
def test_count_that_is_no_number_is_refused(key: str, value: object, model_folder: Path) -> None:
    replace_json(model_folder / "config.json", {"model_type": "roberta", key: value})
    if value:
        with pytest.raises(EncoderError, match=f"{key}: expected a number of 0 or more"):
            find_encoder("org/model")


@pytest.mark.parametrize("content", ["5", "null", "[" * 100_000, "{}", '{"model": 5}', '{"model": {}}'])
def test_tokenizer_that_is_none_is_refused(content: str, model_folder: Path) -> None:
    from fsat_tasks.encoders.languages import unknown_share

    replace(model_folder / "tokenizer.json", content)
    with pytest.raises(EncoderError, match=r"tokenizer\.json"):
        unknown_share(model_folder, ["a text"])


@pytest.mark.parametrize("name", ["a" * 5000, "ü" * 120, f"org/{'a' * 300}"])
def test_name_that_is_too_long_is_refused(name: str, model_folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"expected a name such as org/model, got [0-9,]+ bytes") as caught:
        find_encoder(name)
    assert len(str(caught.value)) < 500
