"""Append the head to an encoder's graph, as ONNX nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fsat_tasks.models.link_nodes import OUTPUT_NAMES, Nodes, Part, link_part
from fsat_tasks.numerics.heads.links import Link

if TYPE_CHECKING:
    import onnx

    from fsat_tasks.numerics.heads.calibrated import CalibratedHead
    from fsat_tasks.numerics.heads.memory import Memory

__all__ = ["join_head"]


def join_head(encoder: onnx.ModelProto, head: CalibratedHead) -> onnx.ModelProto:
    """Return the encoder's graph followed by the head. The outputs are `probabilities` (batch, classes) and `scope` (batch,).

    The first output of a head of numbers is `numbers` (batch, 1).

    If the head reads only the last layer, the graph is cut at `sentence`, the features of that layer. This drops the
    pooling of the other layers.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnx.utils import Extractor

    source = "sentence" if head.layers == 1 else "features"
    model = Extractor(encoder).extract_model([value.name for value in encoder.graph.input], [source])
    constants: dict[str, Any] = {}
    nodes = []
    link = link_part(head.link, head.temperature)
    parts = [_unit_row(head, source), _memory_logits(head.memory), _calibrated_logits(head), link, _scope_score(head)]
    for some_constants, some_nodes in parts:
        constants |= some_constants
        nodes += [helper.make_node(*node[:3], **node[3]) for node in some_nodes]
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    columns = len(head.linear.bias) + (head.link is Link.CUMULATIVE)
    for name, shape in ((OUTPUT_NAMES.get(head.link, "probabilities"), ["batch", columns]), ("scope", ["batch"])):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)
    return model


def _unit_row(head: CalibratedHead, source: str) -> Part:
    """Return the part that computes `head.row` (batch, layers * dim): the layers side by side, each of unit length."""
    import numpy as np

    layers: Nodes = []
    constants = {"head.shape": np.array([0, head.linear.weight.shape[1]])}  # 0 keeps the number of rows
    if head.layers > 1:  # the last layers of (batch, all layers, dim)
        constants |= {"head.first": np.array([-head.layers]), "head.end": np.array([2**31]), "head.axis": np.array([1])}
        layers = [("Slice", [source, "head.first", "head.end", "head.axis"], ["head.layers"], {})]
        source = "head.layers"
    return constants, [
        *layers,
        ("LpNormalization", [source], ["head.unit"], {"axis": -1, "p": 2}),
        ("Reshape", ["head.unit", "head.shape"], ["head.row"], {}),
    ]


def _calibrated_logits(head: CalibratedHead) -> Part:
    """Return the part that computes calibrated `logits`, (batch, columns).

    The weights are divided in advance by the temperature and by sqrt(layers), which is the length of `head.row`.
    """
    weight = head.linear.weight.T / (head.temperature * np.sqrt(head.layers))
    constants = {"head.weight": weight, "head.bias": head.linear.bias.astype(np.float32) / head.temperature}
    linear: Nodes = [("Gemm", ["head.row", "head.weight", "head.bias"], ["logits"], {})]
    if head.memory is not None:
        constants["head.memory_share"] = np.array(head.memory.share / head.temperature)
        linear = [
            ("Gemm", ["head.row", "head.weight", "head.bias"], ["head.linear"], {}),
            ("Mul", ["memory.logits", "head.memory_share"], ["head.remembered"], {}),
            ("Add", ["head.linear", "head.remembered"], ["logits"], {}),
        ]
    return _float32(constants), linear


def _memory_logits(memory: Memory | None) -> Part:
    """Return the part that computes the logits from the memory of pool rows, `memory.logits` (batch, classes).

    If the head has no memory, the part is empty.
    """
    if memory is None:
        return {}, []
    from fsat_tasks.numerics.heads.memory import DOUBT, LEAST_WEIGHT, NEAREST, SHARPNESS

    constants = {
        "memory.basis": memory.basis,  # (layers * dim, directions); no sqrt(layers), because the product is normalised
        "memory.keys": memory.keys.T * SHARPNESS,  # (directions, rows)
        "memory.labels": memory.labels * (1.0 - DOUBT),  # (rows, classes)
        "memory.doubt": np.array(DOUBT / memory.labels.shape[1]),
        "memory.least": np.array(LEAST_WEIGHT),
    }
    counts = {"memory.nearest": np.array([min(NEAREST, len(memory.keys))]), "memory.axis": np.array([1])}
    return _float32(constants) | counts, [
        ("MatMul", ["head.row", "memory.basis"], ["memory.projected"], {}),
        ("LpNormalization", ["memory.projected"], ["memory.query"], {"axis": -1, "p": 2}),
        ("MatMul", ["memory.query", "memory.keys"], ["memory.similarity"], {}),
        ("TopK", ["memory.similarity", "memory.nearest"], ["memory.top", "memory.at"], {"axis": 1}),
        ("ReduceMax", ["memory.top", "memory.axis"], ["memory.nearest_of_all"], {"keepdims": 1}),
        ("Sub", ["memory.top", "memory.nearest_of_all"], ["memory.distance"], {}),
        ("Exp", ["memory.distance"], ["memory.closeness"], {}),
        ("ReduceMin", ["memory.closeness", "memory.axis"], ["memory.last"], {"keepdims": 1}),
        ("Sub", ["memory.closeness", "memory.last"], ["memory.ahead"], {}),
        ("Add", ["memory.ahead", "memory.least"], ["memory.unscaled"], {}),
        ("ReduceSum", ["memory.unscaled", "memory.axis"], ["memory.total"], {"keepdims": 1}),
        ("Div", ["memory.unscaled", "memory.total"], ["memory.weight"], {}),
        ("Gather", ["memory.labels", "memory.at"], ["memory.found"], {"axis": 0}),  # (batch, nearest, classes)
        ("Unsqueeze", ["memory.weight", "memory.axis"], ["memory.row"], {}),  # (batch, 1, nearest)
        ("MatMul", ["memory.row", "memory.found"], ["memory.mean"], {}),
        ("Squeeze", ["memory.mean", "memory.axis"], ["memory.probability"], {}),
        ("Add", ["memory.probability", "memory.doubt"], ["memory.softened"], {}),
        ("Log", ["memory.softened"], ["memory.logits"], {}),
    ]


def _scope_score(head: CalibratedHead) -> Part:
    """Return the part that computes the scope scores, `scope` (batch,). They are those of `CalibratedHead.scope_scores`.

    Prototypes and bank are divided in advance by sqrt(layers), which is the length of `head.row`.
    """
    model, share = head.scope, 1.0 / np.sqrt(head.layers)
    constants = {
        "scope.prototypes": model.prototypes.T * share,  # (layers * dim, classes)
        "scope.bank": model.bank.T * share,  # (layers * dim, bank)
        "scope.usual": model.usual,
        "scope.weight": model.weight[:, None],  # (views, 1)
        "scope.offset": -model.centre @ model.weight[:, None],  # (1,)
    }
    counts = {"scope.nearest": np.array([model.nearest]), "scope.axis": np.array([1])}
    views, unlike = ["scope.certainty", "scope.nearest_prototype", "scope.nearness"], Nodes()
    if len(model.outside):  # one more view: how unlike the text is to rows that are out of scope
        constants["scope.outside"] = -model.outside.T * share  # (layers * dim, rows)
        unlike = [
            ("MatMul", ["head.row", "scope.outside"], ["scope.from_outside"], {}),
            ("ReduceMin", ["scope.from_outside", "scope.axis"], ["scope.unlike"], {"keepdims": 1}),
        ]
        views = [*views, "scope.unlike"]
    return _float32(constants) | counts, [
        *unlike,
        ("MatMul", ["head.row", "scope.prototypes"], ["scope.to_prototypes"], {}),
        ("ReduceMax", ["scope.to_prototypes", "scope.axis"], ["scope.nearest_prototype"], {"keepdims": 1}),
        ("MatMul", ["head.row", "scope.bank"], ["scope.to_bank"], {}),
        ("Sub", ["scope.to_bank", "scope.usual"], ["scope.relative"], {}),
        ("TopK", ["scope.relative", "scope.nearest"], ["scope.top", "scope.top_at"], {"axis": 1}),
        ("ReduceMean", ["scope.top", "scope.axis"], ["scope.nearness"], {"keepdims": 1}),
        ("Concat", views, ["scope.views"], {"axis": 1}),
        ("Gemm", ["scope.views", "scope.weight", "scope.offset"], ["scope.column"], {}),
        ("Squeeze", ["scope.column", "scope.axis"], ["scope"], {}),
    ]


def _float32(constants: dict[str, Any]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(value, np.float32) for name, value in constants.items()}
