"""ONNX Runtime's default options fuse nothing of an encoder's graph where the fused kernel rounds otherwise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from transformers import AlbertConfig, AlbertModel, DebertaConfig, DebertaModel

from fsat_tasks.encoders.apart_graph import keep_apart, let_fuse
from fsat_tasks.encoders.text_graph import PooledEncoder

WIDTH = 8


def residual_graph() -> onnx.ModelProto:
    """Make a graph with both fusions: a LayerNormalization of a sum, and a product of something scaled."""
    rng, shape = np.random.default_rng(0), ["batch", "tokens", WIDTH]
    nodes = [
        helper.make_node("Add", ["x", "y"], ["total"]),
        helper.make_node("LayerNormalization", ["total", "gain", "bias"], ["normal"]),
        helper.make_node("Div", ["normal", "three"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "other"], ["z"]),
    ]
    constants = {"gain": rng.normal(size=WIDTH), "bias": rng.normal(size=WIDTH), "three": np.array(3.0)}
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
        + [helper.make_tensor_value_info("other", TensorProto.FLOAT, ["batch", WIDTH, WIDTH])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
        value_info=[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("total", "normal", "scaled")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def optimised(model: onnx.ModelProto, folder: Path) -> Counter[str]:
    """Return how often each operator is in the graph that ONNX Runtime makes of this one with its default options."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


def test_norm_of_a_sum_and_product_of_something_scaled_are_not_fused(tmp_path: Path) -> None:
    model = residual_graph()
    assert set(optimised(model, tmp_path)) == {"SkipLayerNormalization", "FusedMatMul"}
    keep_apart(model.graph)
    onnx.checker.check_model(model)
    assert optimised(model, tmp_path) == Counter(Add=1, LayerNormalization=1, Div=1, MatMul=1, Reshape=2)


def test_graph_for_a_gpu_is_the_graph_as_it_was() -> None:
    model = residual_graph()
    keep_apart(model.graph)
    let_fuse(model.graph)
    assert model.SerializeToString() == residual_graph().SerializeToString()


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 50}


@pytest.mark.parametrize(
    ("model", "single"),
    [
        (AlbertModel(AlbertConfig(**SIZES, embedding_size=8, hidden_act="gelu_new")), nn.GELU),
        (DebertaModel(DebertaConfig(**SIZES)), nn.LayerNorm),
    ],
    ids=["albert", "deberta"],
)
def test_steps_that_transformers_writes_out_become_one_operator_that_computes_the_same(
    model: nn.Module, single: type[nn.Module], tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path, safe_serialization=True)
    encoder = PooledEncoder(tmp_path, "mean", normalize=False)
    ids = torch.arange(2, 26).reshape(2, 12)
    with torch.no_grad():
        before = encoder(ids, torch.ones_like(ids))
        encoder.unfuse()
        after = encoder(ids, torch.ones_like(ids))
    kinds = Counter(type(module) for module in encoder.modules())
    assert kinds[single]
    assert not {"NewGELUActivation", "DebertaLayerNorm"} & {kind.__name__ for kind in kinds}
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
