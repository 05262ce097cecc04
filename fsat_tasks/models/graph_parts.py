"""Separate a graph from its weights.

Graphs with the same encoder differ by only some kilobytes. Changing such a graph is fast if its weights are set aside.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.encoders.apart_graph import let_fuse

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphParts", "half_precision", "take_apart", "whole"]

LARGE = 4096
"""Minimum size in bytes of a constant of the graph that counts as a weight."""


@dataclass(frozen=True)
class GraphParts:
    """An encoder's graph whose weights have names but no values, and the weights by name."""

    graph: onnx.ModelProto
    weights: Mapping[str, onnx.TensorProto]

    @functools.cached_property
    def halves(self) -> Mapping[str, onnx.TensorProto]:
        """The float32 weights, converted to float16."""
        from onnx import TensorProto
        from onnxruntime.transformers.float16 import convert_tensor_float_to_float16

        halves = {}
        for name, weight in self.weights.items():
            if weight.data_type == TensorProto.FLOAT:
                halves[name] = TensorProto()
                halves[name].CopyFrom(weight)
                convert_tensor_float_to_float16(halves[name])
        return halves


def take_apart(path: Path) -> GraphParts:
    """Read a graph's file and separate its weights. The caller must not change the result, because it may be shared."""
    import onnx

    graph, weights = onnx.load(path), {}
    for value in graph.graph.initializer:
        if len(value.raw_data) >= LARGE:
            weights[value.name] = onnx.TensorProto()
            weights[value.name].CopyFrom(value)
            value.ClearField("raw_data")
            value.dims[:] = [0]  # no elements, because the values are gone
    return GraphParts(graph, weights)


def whole(graph: onnx.ModelProto, parts: GraphParts) -> onnx.ModelProto:
    """Put the weights' values back into a graph that was made from `parts.graph`. `graph` is changed and returned."""
    for value in graph.graph.initializer:
        if value.name in parts.weights:
            half = value.data_type != parts.weights[value.name].data_type
            value.CopyFrom((parts.halves if half else parts.weights)[value.name])
    return graph


def half_precision(graph: onnx.ModelProto, parts: GraphParts) -> onnx.ModelProto:
    """Convert a graph that was made from `parts.graph` to float16, with the same inputs and outputs.

    The weights of the result still have no values. Shapes are inferred here, because the converter's own inference
    would need the values. The inference here needs only the weights' shapes. `graph` is changed.
    """
    from onnx.shape_inference import infer_shapes
    from onnxruntime.transformers.float16 import convert_float_to_float16

    let_fuse(graph.graph)
    _set_shapes(graph, {name: weight.dims for name, weight in parts.weights.items()})
    inferred = infer_shapes(graph)
    _set_shapes(inferred, {name: [0] for name in parts.weights})
    half: onnx.ModelProto = convert_float_to_float16(inferred, keep_io_types=True, disable_shape_infer=True)
    return half


def _set_shapes(graph: onnx.ModelProto, shapes: Mapping[str, list[int]]) -> None:
    for value in graph.graph.initializer:
        if value.name in shapes:
            value.dims[:] = shapes[value.name]
