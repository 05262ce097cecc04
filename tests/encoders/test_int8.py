"""Int8 features are near those of float32, and no row's bits depend on the rows beside it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_encoder, export_int8_encoder
from fsat_tasks.encoders.int8 import quantise
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.runtime.session import open_session
from fsat_tasks.store import Artefact, Store

NAME = "all-MiniLM-L6-v2"
TEXTS = [
    "my card has not arrived",
    "Where is my refund?",
    "I was charged twice for the same order!!!",
    "please cancel my subscription before the next billing date",
    "the app crashes whenever I open the settings page on my phone",
    "thanks",
    "Can I speak to a human, please?",
    "how do I reset the password of an account whose e-mail address I no longer have",
    "The mitochondrion is the powerhouse of the cell.",
    "Shares fell 3.4% on Tuesday after the central bank raised rates by 25 basis points.",
    "E = mc^2",
    "SELECT name, COUNT(*) FROM users WHERE id > 10 GROUP BY name",
    "def add(a, b):\n    return a + b",
    "https://example.org/path/to/page?query=1&other=%20#fragment",
    "Le train de Paris est en retard de vingt minutes.",
    "Der Zug nach Köln fährt heute nicht.",
    "¿Dónde está la biblioteca?",
    "кот спит на диване",
    "我的卡还没有到",
    "猫がソファで寝ている",
    "القطة تنام على الأريكة",
    "naïve café, façade, jalapeño",
    "2024-02-29T23:59:59Z",
    "+1 (555) 010-9999",
    "ALL CAPITALS AND VERY ANGRY ABOUT THE DELIVERY",
    "a",
    "no no no no no no no no no no",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.",
    "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer the slings and arrows of fortune",
    "Add two cups of flour, a pinch of salt and one egg; knead for ten minutes and let it rest.",
    "The defendant shall, within thirty (30) days of service, file an answer to the complaint.",
    "Patient presents with acute chest pain radiating to the left arm; ECG shows ST elevation.",
    "gr8 c u l8r lol",
    "The quick brown fox jumps over the lazy dog. " * 8,
    "Our hotel was near the airport, the room was clean, but breakfast was cold and the staff seemed tired. " * 4,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "What's the weather going to be like in Reykjavik next weekend?",
    "turn off the lights in the kitchen",
    "#blessed @someone check this out :-)",
    "(((nested))) [brackets] {everywhere} <and> more",
]


@pytest.fixture(scope="module")
def exported(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    root = tmp_path_factory.mktemp("int8") / "store"
    shutil.copytree(demo_store / "encoder", root / "encoder", copy_function=os.link)
    fp32 = export_encoder(find_encoder(NAME), Store(root))
    return {"fp32": fp32, "int8": export_int8_encoder(fp32, Store(root))}


@pytest.fixture(scope="module")
def encoders(exported: dict[str, Artefact]) -> dict[str, Encoder]:
    return {precision: Encoder(artefact, "cpu") for precision, artefact in exported.items()}


def test_int8_features_of_every_layer_are_near_those_of_float32(encoders: dict[str, Encoder]) -> None:
    assert len(set(TEXTS)) == 40
    exact, rounded = (encoders[precision].encode(TEXTS, layers="all").astype(np.float64) for precision in ("fp32", "int8"))
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=-1), 1, atol=1e-5)
    cosine = (exact * rounded).sum(axis=-1) / np.linalg.norm(exact, axis=-1)  # (n, layers)
    assert cosine.mean(axis=0).min() >= 0.998
    assert np.abs(exact[:, -1] - rounded[:, -1]).max() > 1e-4  # it is not the same graph


def test_int8_artefact_says_what_it_is(exported: dict[str, Artefact], encoders: dict[str, Encoder]) -> None:
    config = {precision: artefact.json("encoder.json") for precision, artefact in exported.items()}
    assert config["int8"] == config["fp32"] | {"precision": "int8"}
    assert str(encoders["int8"].numeric_class) == "onnxruntime-cpu-int8"
    assert str(encoders["fp32"].numeric_class) == "onnxruntime-cpu-fp32"


def test_int8_file_without_its_embedding_tables_is_less_than_a_third(exported: dict[str, Artefact]) -> None:
    # tables are looked up, not multiplied, and stay as they are: half of this small encoder
    sizes = {}
    for precision, artefact in exported.items():
        path = artefact.path / "encoder.onnx"
        graph = onnx.load(path).graph
        looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}
        tables = [value for value in graph.initializer if value.name in looked_up and len(value.dims) == 2]
        assert tables
        sizes[precision] = path.stat().st_size - sum(value.ByteSize() for value in tables)
    assert sizes["int8"] < sizes["fp32"] / 3


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_rows_bits_depend_neither_on_their_batch_nor_on_their_place_in_it(
    precision: str, encoders: dict[str, Encoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoders[precision]
    texts = [*TEXTS, "", *("so many words " * count + end for count in range(1, 12) for end in ("here", "there", "now"))]
    together = encoder.encode(texts, layers="all")
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(len(texts))
        np.testing.assert_array_equal(encoder.encode([texts[i] for i in order], layers="all"), together[order])
    for budget in (1, 64, 4096):  # tokens of a batch: each row alone, a few together, all of a length together
        monkeypatch.setattr(encoder, "_batch_size", budget)
        np.testing.assert_array_equal(encoder.encode(texts, layers="all"), together)
        np.testing.assert_array_equal(encoder.encode(texts), together[:, -1])
    for row in (0, 17, 40, len(texts) - 1):
        np.testing.assert_array_equal(encoder.encode([texts[row]], layers="all"), together[row : row + 1])


# A graph made by hand: embeddings, and two products with their biases around a Gelu

VOCABULARY, WIDTH, INNER = 50, 24, 64
FEEDS = [
    {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    for ids in (np.random.default_rng(length).integers(0, VOCABULARY, (16, length)) for length in (8, 16, 32, 64))
]
"""Batches of random rows, on which the scales are measured."""


def weights(seed: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(VOCABULARY, WIDTH))
    table[:, 3] = 40 + 8 * table[:, 3]  # an outlier channel, as encoders have them: one scale for all would be lost to it
    values = {
        "table": table,
        "up": rng.normal(size=(WIDTH, INNER)) / np.sqrt(WIDTH),
        "up_bias": rng.normal(size=INNER),
        "down": rng.normal(size=(INNER, WIDTH)) / np.sqrt(INNER),
        "down_bias": rng.normal(size=WIDTH),
    }
    values["up"][3] /= 40
    return {name: value.astype(np.float32) for name, value in values.items()}


def graph_by_hand(values: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Make a graph from token ids and mask (batch, tokens) to `sentence` (batch, tokens, width), zero if the mask is."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("MatMul", ["words", "up"], ["raised"]),
        helper.make_node("Add", ["raised", "up_bias"], ["biased"]),
        helper.make_node("Gelu", ["biased"], ["active"]),
        helper.make_node("MatMul", ["active", "down"], ["lowered"]),
        helper.make_node("Add", ["down_bias", "lowered"], ["hidden"]),  # the constant first: either order is one
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
        helper.make_node("Cast", ["column"], ["weight"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["hidden", "weight"], ["sentence"]),
    ]
    axes = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("sentence", TensorProto.FLOAT, [*axes, WIDTH])],
        [numpy_helper.from_array(value, name) for name, value in values.items()]
        + [numpy_helper.from_array(np.array([-1]), "last")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    session = open_session(model.SerializeToString(), "cpu")
    result: NDArray[np.float32] = session.run(["sentence"], {"input_ids": ids, "attention_mask": mask})[0]
    return result


def reference(values: dict[str, NDArray[np.float32]], ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float64]:
    exact: dict[str, NDArray[Any]] = {name: value.astype(np.float64) for name, value in values.items()}
    inner = exact["table"][ids] @ exact["up"] + exact["up_bias"]  # (batch, tokens, inner)
    active = inner * (1 + np.vectorize(erf)(inner / np.sqrt(2))) / 2
    result: NDArray[np.float64] = (active @ exact["down"] + exact["down_bias"]) * mask[..., None]
    return result


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_quantised_graph_is_within_a_fiftieth_of_the_float64_reference(seed: int) -> None:
    values, rng = weights(seed), np.random.default_rng(seed)
    ids, mask = rng.integers(0, VOCABULARY, (5, 9)), rng.integers(0, 2, (5, 9))
    exact = reference(values, ids, mask)
    np.testing.assert_allclose(run(graph_by_hand(values), ids, mask), exact, atol=1e-5)
    rounded = run(quantise(graph_by_hand(values), FEEDS), ids, mask)
    assert rounded.dtype == np.float32
    assert np.abs(rounded - exact).max() <= np.abs(exact).max() / 50
    assert (rounded[mask == 0] == 0).all()


def test_no_product_with_a_constant_matrix_is_left_and_each_bias_is_joined_to_its_offset() -> None:
    model = graph_by_hand(weights(0))
    rounded = quantise(model, FEEDS)
    onnx.checker.check_model(rounded)
    before, after = (Counter(node.op_type for node in graph.node) for graph in (model.graph, rounded.graph))
    assert (before["MatMul"], before["Add"]) == (2, 2)
    assert (after["MatMul"], after["MatMulIntegerToFloat"], after["Add"]) == (0, 2, 2)
    names = {value.name for value in rounded.graph.initializer}
    assert "table" in names
    assert not names & {"up", "down", "up_bias", "down_bias"}
    assert names <= {name for node in rounded.graph.node for name in node.input}


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_products_of_two_neighbours_fit_in_16_bits_whatever_the_inputs(seed: int) -> None:
    values = weights(seed)
    values["up"] *= np.float32(10.0) ** np.random.default_rng(seed).integers(
        -2, 3, values["up"].shape
    )  # some outputs have few weights
    for value in quantise(graph_by_hand(values), FEEDS).graph.initializer:
        if value.name.endswith(".weight"):
            whole = numpy_helper.to_array(value).astype(np.int64)
            pairs = np.stack([whole[::2], whole[1::2]])  # (2, pairs, outputs)
            worst = 255 * np.maximum(np.maximum(pairs, 0).sum(axis=0), -np.minimum(pairs, 0).sum(axis=0))
            assert worst.max() <= 32_767
            assert np.abs(whole).max(axis=0).min() >= 63  # the eighth bit is used where the neighbours allow it


def test_answers_are_the_same_with_and_without_the_option_for_old_processors(exported: dict[str, Artefact]) -> None:
    """On a processor without VNNI, the default kernels add in 16 bits. Other processors have one kernel."""
    path, rng = exported["int8"].path / "encoder.onnx", np.random.default_rng(0)
    feed = {"input_ids": rng.integers(1000, 20_000, (8, 32)), "attention_mask": np.ones((8, 32), np.int64)}
    default = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)
    for found, expected in zip(open_session(path, "cpu").run(None, feed), default, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_bias_that_two_readers_need_without_it_is_not_joined() -> None:
    values, rng = weights(0), np.random.default_rng(0)
    model = graph_by_hand(values)
    model.graph.node[-1].input[0] = "both"
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Sub", ["hidden", "lowered"], ["both"]))
    ids = rng.integers(0, VOCABULARY, (2, 4))
    rounded = run(quantise(model, FEEDS), ids, np.ones_like(ids))
    np.testing.assert_allclose(rounded, np.broadcast_to(values["down_bias"], rounded.shape), atol=1e-5)


def test_making_it_twice_gives_the_same_bytes_and_leaves_the_model_as_it_was() -> None:
    model = graph_by_hand(weights(1))
    before = model.SerializeToString(deterministic=True)
    first, second = (quantise(model, FEEDS).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert model.SerializeToString(deterministic=True) == before
    assert first != before
