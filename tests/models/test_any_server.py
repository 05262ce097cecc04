"""A graph gives the answers that fsat measured, whatever the options of the ONNX Runtime that serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnxruntime_extensions import get_library_path

from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.prepare import collate
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.string_graph import join_tokenizer, tokenizer_graph
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.store import Store

TASK = "support-intents"
TOKENS = {"fp32": "model.onnx", "int8": "model-int8.onnx"}
GRAPHS = (*TOKENS, "strings of fp32", "strings of int8")
LEVELS = {
    "default": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "disabled": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}

Answers = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def model(demo_store: Path) -> Path:
    """Folder of the demo's champion."""
    return champion_model(TASK, Store(demo_store)).path


@pytest.fixture(scope="module")
def files(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name of a graph -> its file."""
    found = {name: model / file for name, file in TOKENS.items()}
    for name in TOKENS:
        found[f"strings of {name}"] = path = tmp_path_factory.mktemp("strings") / f"{name}.onnx"
        onnx.save(join_tokenizer(tokenizer_graph(model / "tokenizer.json"), onnx.load(found[name])), path)
    return found


@pytest.fixture(scope="module")
def texts(repository: Path) -> list[str]:
    """64 texts from none to some tens of words."""
    lines = (repository / "data" / TASK / "query.jsonl").read_text("utf-8").splitlines()
    found = [json.loads(line)["text"] for line in lines][:62]
    return [*found, "", " ".join(found[:3])]


class Server:
    """A server that knows nothing of fsat but the graph's file and the tokenizer."""

    def __init__(self, file: Path, level: Any, model: Path) -> None:
        options = ort.SessionOptions()
        options.register_custom_ops_library(get_library_path())
        options.graph_optimization_level = level
        self.session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.tokenizer = open_preparer(model, settings="config.json")

    def run(self, texts: list[str]) -> Answers:
        takes_texts = self.session.get_inputs()[0].name == "texts"
        feed = {"texts": np.array(texts, object)} if takes_texts else dict(collate(self.tokenizer.prepare(texts)))
        first, scope = self.session.run(["probabilities", "scope"], feed)
        return first, scope


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def measured(graph: str, model: Path, texts: list[str]) -> Iterator[Answers]:
    """fsat's own answers by the graph."""
    yield ServedModel(model, TOKENS[graph.removeprefix("strings of ")]).run(texts)


@pytest.mark.parametrize("level", LEVELS)
def test_answers_are_those_that_fsat_measured_one_text_and_64_at_a_time(
    graph: str, level: str, files: dict[str, Path], model: Path, texts: list[str], measured: Answers
) -> None:
    server = Server(files[graph], LEVELS[level], model)
    one_by_one = [server.run([text]) for text in texts[:8] + texts[-2:]]
    alone = tuple(np.concatenate(parts) for parts in zip(*one_by_one, strict=True))
    some = np.r_[0:8, -2:0]
    for found, expected in ((server.run(texts), measured), (alone, [part[some] for part in measured])):
        np.testing.assert_allclose(found[0], expected[0], atol=1e-4, rtol=0)
        np.testing.assert_array_equal(found[0].argmax(axis=1), expected[0].argmax(axis=1))
        np.testing.assert_allclose(found[1], expected[1], atol=1e-3, rtol=1e-4)


def test_no_rows_give_no_answers(graph: str, files: dict[str, Path], model: Path) -> None:
    session = Server(files[graph], LEVELS["default"], model).session
    empty = [np.empty(0, object)] if graph.startswith("strings") else [np.empty((0, 4), np.int64), np.empty((0, 0), np.int64)]
    for rows in empty:
        probabilities, scope = session.run(["probabilities", "scope"], {value.name: rows for value in session.get_inputs()})
        assert (probabilities.shape, scope.shape) == ((0, len(json.loads((model / "config.json").read_text())["labels"])), (0,))


def test_half_precision_gives_no_answers_to_no_rows(model: Path) -> None:
    session = Server(model / "model-fp16.onnx", LEVELS["default"], model).session
    rows = np.empty((0, 4), np.int64)
    assert session.run(None, {"input_ids": rows, "attention_mask": rows})[0].shape[0] == 0


@pytest.mark.parametrize("file", ["model.onnx", "model-int8.onnx", "model-fp16.onnx"])
def test_lone_file_knows_its_task_its_labels_and_its_scope_threshold(file: str, model: Path) -> None:
    facts = Server(model / file, LEVELS["default"], model).session.get_modelmeta().custom_metadata_map
    config = json.loads((model / "config.json").read_text("utf-8"))
    assert (facts["task"], facts["target"]) == (TASK, "one_label")
    assert json.loads(facts["labels"]) == config["labels"]
    assert float(facts["scope_threshold"]) == float(config["scope_threshold"])
