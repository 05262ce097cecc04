"""Quantise an encoder's matrix products to int8: weights with a scale per output, activations with a scale per token.

A token's scale depends only on that token. A row's features therefore do not depend on the other rows of its batch.
`onnxruntime.quantization.quantize_dynamic` has one scale for the whole tensor instead. Its error is 2.5 times as large.

Outliers are moved from the activations into the weights (SmoothQuant, Xiao et al. 2023). Each input channel is centred and
divided by sqrt(largest input / largest weight). The channel's mean and largest input are measured on random tokens,
so no data is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fsat_tasks.errors import EncoderError

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from fsat_tasks.encoders.prepare import Feed

__all__ = ["quantise"]

FLOORS = {"Gelu": -0.17, "Relu": 0.0}
"""Minimum of each activation function. If a product's input comes from such a function, its 256 integer levels start at
this minimum. Otherwise they are centred on the mean."""
CONSTANTS: dict[str, NDArray[Any]] = {
    "int8.least_scale": np.array(1e-12, np.float32),
    "int8.channel_axis": np.array([1]),  # not -1, with which ONNX Runtime leaves a tensor of no rows unreduced
    "int8.one": np.array([1.0], np.float32),
}


Nodes = list[tuple[str, list[str], str, dict[str, Any]]]
"""Operator, inputs, output and attributes of each node. {} in a name stands for the name of the matrix product."""


@dataclass(frozen=True)
class _Input:
    """Quantisation of a product's input x to integers: (x - offset) * factor / scale + zero, with one scale per token."""

    offset: NDArray[np.float32]  # (channels,)
    factor: NDArray[np.float32]  # (channels,)
    zero: int

    @property
    def steps(self) -> int:
        """Number of integer steps from `zero` to the largest integer, 255."""
        return 255 - self.zero


def quantise(model: onnx.ModelProto, feeds: Iterable[Feed]) -> onnx.ModelProto:
    """Return a copy of the graph in which every product with a constant matrix is computed in int8.

    Args:
        model: an encoder that `export_onnx` wrote. It is not changed.
        feeds: batches of typical rows, on which the products' inputs are measured.

    Raises:
        EncoderError: the graph has no product with a constant matrix.
    """
    from onnx import ModelProto, helper, numpy_helper

    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    matrices = {value.name: value for value in graph.initializer if len(value.dims) == 2}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in matrices]
    if not products:
        raise EncoderError("precision int8", "an encoder with products with constant matrices", "none", "Use fp32.")
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    calibration = _calibrate(result, sorted({node.input[0] for node in products}), feeds)
    constants, nodes, targets = dict(CONSTANTS), [], {node.output[0] for node in products}
    for node in graph.node:
        if not targets.intersection(node.output):
            nodes.append(node)
            continue
        weight = numpy_helper.to_array(matrices[node.input[1]])
        floor = FLOORS.get(made_by.get(node.input[0], ""))
        values, new = _integer_product(node, weight, _read_input(calibration[node.input[0]], weight, floor))
        constants |= values
        nodes += new
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    _join_biases(graph)
    used = {name for node in graph.node for name in node.input}
    kept = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    result.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return result


def _calibrate(model: onnx.ModelProto, names: list[str], feeds: Iterable[Feed]) -> dict[str, NDArray[np.float32]]:
    """Run the model on the feeds and return the values (tokens, channels) of the named tensors."""
    from onnx import ModelProto, helper

    from fsat_tasks.runtime.session import open_session

    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = open_session(watched.SerializeToString(), "cpu")
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for feed in feeds:
        for name, value in zip(names, session.run(names, dict(feed)), strict=True):
            found[name].append(value.reshape(-1, value.shape[-1]))
    return {name: np.concatenate(values) for name, values in found.items()}


def _read_input(values: NDArray[np.float32], weight: NDArray[np.float32], floor: float | None) -> _Input:
    """Choose the quantisation of a product's input from the input's values (tokens, channels) on random tokens."""
    channels = len(weight)
    if floor is not None:
        return _Input(np.full(channels, floor, np.float32), np.ones(channels, np.float32), zero=0)
    offset = values.mean(axis=0)
    largest, heaviest = np.abs(values - offset).max(axis=0), np.abs(weight).max(axis=1)
    factor = np.sqrt(np.maximum(heaviest, 1e-5) / np.maximum(largest, 1e-5))
    return _Input(offset, factor.astype(np.float32), zero=128)


def _integer_product(
    node: onnx.NodeProto, weight: NDArray[np.float32], read: _Input
) -> tuple[dict[str, NDArray[Any]], list[onnx.NodeProto]]:
    """Make the constants and nodes that replace x @ weight, (..., channels) @ (channels, outputs)."""
    from onnx import helper

    source, target, name, (channels, outputs) = node.input[0], node.output[0], f"int8.{node.output[0]}", weight.shape
    scaled = weight.astype(np.float64) / read.factor[:, None]
    step = np.maximum(_largest(scaled) / 127, 1e-12)  # (outputs,)
    whole = np.clip(np.round(scaled / step), -127, 127).astype(np.int8)
    # The rounded weights are used here too, so their rounding errors cancel where the input is zero. Most inputs are nearly zero.
    at_offset = (read.offset * read.factor).astype(np.float64) @ (whole * step)  # (outputs,)
    centred = read.zero > 0
    constants: dict[str, NDArray[Any]] = {
        f"{name}.offset": read.offset,
        f"{name}.weight": whole,
        f"{name}.step": step.astype(np.float32),
        f"{name}.at_offset": at_offset.astype(np.float32),
        f"int8.shape_{channels}": np.array([-1, channels]),
        f"int8.outputs_{outputs}": np.array([outputs]),
        f"int8.per_step_{read.steps}": np.array(1 / read.steps, np.float32),
        f"int8.zero_{read.zero}": np.array(read.zero, np.uint8),
        **({f"{name}.factor": read.factor} if centred else {}),
    }
    smooth: Nodes = [
        ("Mul", ["{}.centred", "{}.factor"], "smooth", {}),
        ("Abs", ["{}.smooth"], "size", {}),
        ("ReduceMax", ["{}.size", "int8.channel_axis"], "largest", {"keepdims": 1}),  # (tokens, 1)
    ]
    floored: Nodes = [("ReduceMax", ["{}.centred", "int8.channel_axis"], "largest", {"keepdims": 1})]
    nodes: Nodes = [
        ("Reshape", [source, f"int8.shape_{channels}"], "rows", {}),  # (tokens, channels)
        ("Sub", ["{}.rows", "{}.offset"], "centred", {}),
        *(smooth if centred else floored),
        ("Mul", ["{}.largest", f"int8.per_step_{read.steps}"], "any_scale", {}),
        ("Max", ["{}.any_scale", "int8.least_scale"], "scale", {}),
        ("Squeeze", ["{}.scale", "int8.channel_axis"], "scales", {}),  # (tokens,)
        ("Shape", ["{}.scales"], "tokens", {}),
        ("Expand", [f"int8.zero_{read.zero}", "{}.tokens"], "zeros", {}),
        ("QuantizeLinear", ["{}.smooth" if centred else "{}.centred", "{}.scales", "{}.zeros"], "whole", {"axis": 0}),
        (
            "MatMulIntegerToFloat",
            ["{}.whole", "{}.weight", "int8.one", "{}.step", f"int8.zero_{read.zero}"],
            "product",
            {"domain": "com.microsoft"},
        ),  # (tokens, outputs)
        ("Mul", ["{}.product", "{}.scale"], "scaled", {}),
        ("Shape", [source], "before", {"end": -1}),
        ("Concat", ["{}.before", f"int8.outputs_{outputs}"], "shape", {"axis": 0}),
        ("Reshape", ["{}.scaled", "{}.shape"], "without_offset", {"allowzero": 1}),  # a length of 0 is meant
    ]
    made = [
        helper.make_node(kind, [value.format(name) for value in inputs], [f"{name}.{output}"], **options)
        for kind, inputs, output, options in nodes
    ]
    return constants, [*made, helper.make_node("Add", [f"{name}.without_offset", f"{name}.at_offset"], [target])]


def _largest(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest size of a weight, or of a sum of two neighbours, of each output, (outputs,).

    Processors without VNNI add the products of two neighbouring channels in 16 bits. Two inputs of 255, with weights whose sum is
    at most 128, stay within these bits. Any processor then gives the same integers.

    Args:
        weight: (channels, outputs).
    """
    pairs = np.add.reduceat(weight, np.arange(0, len(weight), 2), axis=0)
    largest: NDArray[np.float64] = np.maximum(np.abs(weight).max(axis=0), np.abs(pairs).max(axis=0))
    return largest


def _join_biases(graph: onnx.GraphProto) -> None:
    """Merge a product's offset and the bias that follows it into one addition."""
    from onnx import numpy_helper

    constants = {value.name: value for value in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    offsets = {node.output[0]: node for node in graph.node if node.op_type == "Add" and node.input[1].endswith(".at_offset")}
    for node in list(graph.node):
        if node.op_type != "Add" or not constants.keys() & set(node.input):
            continue
        first, second = sorted(node.input, key=constants.__contains__)
        offset = offsets.get(first)
        if offset is None or readers[first] > 1:
            continue
        joined = numpy_helper.to_array(constants[second]) + numpy_helper.to_array(constants[offset.input[1]])
        constants[offset.input[1]].CopyFrom(numpy_helper.from_array(joined, offset.input[1]))
        offset.output[0] = node.output[0]
        graph.node.remove(node)
