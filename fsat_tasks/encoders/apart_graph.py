"""Reshapes that keep ONNX Runtime from fusing nodes of an encoder where the fused kernel rounds otherwise.

In an int8 graph, other rounding at one product changes integers at the next product. So a graph with such fusions gives other
answers under other options of ONNX Runtime: its probabilities were up to 0.02 apart. With a Reshape between the nodes, all
options give the same answers. The two fusions are:

- an addition and the LayerNormalization that reads the sum. On a CPU, the fused kernel is also slower than the two nodes;
- a scaling and the matrix product that reads what was scaled.

A Reshape to the shape that a tensor already has copies nothing, so it takes hardly any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["keep_apart", "let_fuse"]

SHAPE = "apart.shape_{}"
"""Name of the shape that leaves a tensor with this number of axes as it is."""


def keep_apart(graph: onnx.GraphProto) -> None:
    """Put a Reshape, to the shape that the tensor already has, between the nodes of each such fusion. `graph` is changed."""
    import numpy as np
    from onnx import helper, numpy_helper

    scalars = {value.name for value in graph.initializer if list(value.dims) in ([], [1])}
    sums = {node.output[0] for node in graph.node if node.op_type == "Add"}
    scaled = {node.output[0] for node in graph.node if node.op_type in ("Div", "Mul") and scalars & set(node.input)}
    fused = {"LayerNormalization": sums, "MatMul": scaled}
    axes = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}  # without it, nothing is fused
    nodes, ranks = [], set()
    for node in graph.node:
        for slot, name in enumerate(node.input):
            if name in fused.get(node.op_type, ()) and name in axes:
                node.input[slot] = f"apart.{node.output[0]}.{slot}"
                nodes.append(helper.make_node("Reshape", [name, SHAPE.format(axes[name])], [node.input[slot]]))
                ranks.add(axes[name])
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    # a 0 keeps the length of an axis
    graph.initializer.extend(numpy_helper.from_array(np.zeros(rank, np.int64), SHAPE.format(rank)) for rank in sorted(ranks))


def let_fuse(graph: onnx.GraphProto) -> None:
    """Remove the Reshapes of `keep_apart`, because on a GPU fused kernels are faster. `graph` is changed."""
    prefix = SHAPE.format("")
    without = {node.output[0]: node.input[0] for node in graph.node if len(node.input) > 1 and node.input[1].startswith(prefix)}
    for node in [node for node in graph.node if node.output[0] in without]:
        graph.node.remove(node)
    for node in graph.node:
        for slot, name in enumerate(node.input):
            node.input[slot] = without.get(name, name)
    for shape in [value for value in graph.initializer if value.name.startswith(prefix)]:
        graph.initializer.remove(shape)
