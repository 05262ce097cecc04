"""A graph and its weights apart: graphs over the same encoder differ in some kilobytes, and only these are worked on."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphParts", "half_precision", "take_apart", "whole"]

LARGE = 4096
"""Bytes of a constant from which it is a weight."""


@dataclass(frozen=True)
class GraphParts:
    """An encoder's graph, in which each weight has its name and no values, and the weights by name."""

    graph: onnx.ModelProto
    weights: Mapping[str, onnx.TensorProto]

    @functools.cached_property
    def halves(self) -> Mapping[str, onnx.TensorProto]:
        """The float weights in fp16."""
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
    """The parts of a graph's file. They must not be changed."""
    import onnx

    graph, weights = onnx.load(path), {}
    for value in graph.graph.initializer:
        if len(value.raw_data) >= LARGE:
            weights[value.name] = onnx.TensorProto()
            weights[value.name].CopyFrom(value)
            value.ClearField("raw_data")
            value.dims[:] = [0]  # as many values as it has now
    return GraphParts(graph, weights)


def whole(graph: onnx.ModelProto, parts: GraphParts) -> onnx.ModelProto:
    """A graph that was made of the parts' graph, with the values of its weights; it is changed."""
    for value in graph.graph.initializer:
        if value.name in parts.weights:
            half = value.data_type != parts.weights[value.name].data_type
            value.CopyFrom((parts.halves if half else parts.weights)[value.name])
    return graph


def half_precision(graph: onnx.ModelProto, parts: GraphParts) -> onnx.ModelProto:
    """A graph that was made of the parts' graph in fp16, with the same inputs and outputs, still without the weights' values.

    The conversion's own inference of shapes would need these; it does not look at the values. `graph` is changed.
    """
    from onnx.shape_inference import infer_shapes
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _set_shapes(graph, {name: weight.dims for name, weight in parts.weights.items()})
    inferred = infer_shapes(graph)
    _set_shapes(inferred, {name: [0] for name in parts.weights})
    half: onnx.ModelProto = convert_float_to_float16(inferred, keep_io_types=True, disable_shape_infer=True)
    return half


def _set_shapes(graph: onnx.ModelProto, shapes: Mapping[str, list[int]]) -> None:
    for value in graph.graph.initializer:
        if value.name in shapes:
            value.dims[:] = shapes[value.name]
