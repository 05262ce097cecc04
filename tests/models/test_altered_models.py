"""A model folder that was altered, checksums and all, gives one error that says so, and no file elsewhere is opened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from fsat_tasks.encoders.text_preparer import load_tokenizer
from fsat_tasks.errors import EncoderError, RegistryError
from fsat_tasks.models.graph_facts import load_graph
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.settings import find_graph, read_settings

GOOD: dict[str, Any] = {
    "served": "model.onnx",
    "inputs": "text",
    "max_tokens": 256,
    "target": {"name": "one_label"},
    "labels": ["a", "b"],
    "set_thresholds": {"0.9": 0.5, "0.99": "inf"},
    "scope_threshold": 0.2,
}
TOKENIZER = '{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"x": 0}, "unk_token": "x"}}'


def graph(outputs: int = 2, width: int = 2) -> onnx.ModelProto:
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])
    values = [("p", ["n", width]), ("scope", ["n"])][:outputs]
    nodes = [helper.make_node("Identity", ["weights"], ["p"]), helper.make_node("Identity", ["one"], ["scope"])][:outputs]
    weights = [helper.make_tensor("weights", TensorProto.FLOAT, [1, width], [0.5] * width)]
    weights += [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values]
    whole = helper.make_graph(nodes, "model", [ids], made, weights[:outputs])
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(GOOD))
    (folder / "tokenizer.json").write_text(TOKENIZER)
    onnx.save(graph(), folder / "model.onnx")
    return folder


def test_model_is_opened_as_it_was_written(model: Path) -> None:
    assert ServedModel(model).rule.labels == ["a", "b"]


BAD: dict[str, list[Any]] = {
    "served": ["/etc/passwd", "../../x.onnx", "sub/model.onnx", "nope.onnx", "config.json", "a\0b", "model.onnx/", 5, None, []],
    "scope_threshold": ["x", None, 10**400, True, "nan", []],
    "labels": [5, [], [None], ["a", "a"], "ab", {}],
    "target": [
        5,
        [1],
        {"name": "evil"},
        {"name": []},
        {"evil": 1},
        {"name": "number"},
        {"name": "several_labels", "separator": 5},
    ],
    "set_thresholds": [None, [], {"0.9": "x"}, {"0.9": None}],
    "inputs": ["../x", 5, []],
    "max_tokens": [10**400, -1, "x", 1.5, True],
    "thresholds": [5, [0.5], ["x", "y"]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_setting_that_was_altered_is_named(name: str, value: Any, model: Path) -> None:
    (model / "config.json").write_text(json.dumps({**GOOD, name: value}))
    with pytest.raises(RegistryError, match=rf"config\.json: expected .*{name}.*\. The file was altered\. Restore") as caught:
        ServedModel(model)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["served", "labels", "scope_threshold", "set_thresholds"])
def test_setting_that_is_missing_is_named(name: str, model: Path) -> None:
    (model / "config.json").write_text(json.dumps({key: value for key, value in GOOD.items() if key != name}))
    with pytest.raises(RegistryError, match=rf"{name}: .*, got none"):
        read_settings(model)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"", b"\xff\xfe", b"9" * 5000, b'"x"'])
def test_settings_that_are_no_object_are_refused(content: bytes, model: Path) -> None:
    (model / "config.json").write_bytes(content)
    with pytest.raises(RegistryError, match=r"config\.json: expected a JSON object, .* The file was altered"):
        read_settings(model)


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "tokenizer.json"])
def test_file_that_is_a_pipe_is_refused(name: str, model: Path) -> None:
    (model / name).unlink()
    os.mkfifo(model / name)
    with pytest.raises((RegistryError, EncoderError), match=r"got a pipe or a device, not a file\. The file was altered"):
        ServedModel(model)


@pytest.mark.parametrize("name", ["../model.onnx", "config.json", "/etc/passwd"])
def test_no_graph_but_the_models_own_is_found(name: str, model: Path) -> None:
    with pytest.raises(RegistryError, match=r"expected a graph named model\.onnx"):
        find_graph(model, name)
    with pytest.raises(RegistryError, match=r"expected a graph named model\.onnx"):
        ServedModel(model, name)


def external() -> bytes:
    made = graph()
    weights = made.graph.initializer[0]
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", "../../../../../../../../etc/passwd"
    return bytes(made.SerializeToString())


GRAPHS = {
    "garbage": b"\0" * 100,
    "empty": b"",
    "text": b"text",
    "external": external(),
    "one output": graph(1).SerializeToString(),
    "another width": graph(width=3).SerializeToString(),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_graph_that_was_altered_is_refused(kind: str, model: Path) -> None:
    (model / "model.onnx").write_bytes(GRAPHS[kind])
    with pytest.raises(RegistryError, match=r"model\.onnx: expected a graph .* The file was altered"):
        ServedModel(model)


@pytest.mark.parametrize("kind", ["garbage", "text", "external"])
def test_graph_that_is_none_is_refused_by_its_reader(kind: str, model: Path) -> None:
    (model / "model.onnx").write_bytes(GRAPHS[kind])
    with pytest.raises(RegistryError, match="expected an ONNX graph"):
        load_graph(model / "model.onnx")


@pytest.mark.parametrize("content", [b"{}", b"", b"\xff", b"[" * 100_000])
def test_tokenizer_that_was_altered_is_refused(content: bytes, model: Path) -> None:
    (model / "tokenizer.json").write_bytes(content)
    with pytest.raises(EncoderError, match=r"tokenizer\.json: expected a tokenizer, .* The file was altered"):
        load_tokenizer(model / "tokenizer.json")
