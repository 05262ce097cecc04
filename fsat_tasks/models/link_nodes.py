"""ONNX nodes of the links: from a head's calibrated logits to what the model states, and to how certain it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from fsat_tasks.numerics.heads.links import Link

__all__ = ["OUTPUT_NAMES", "Nodes", "Part", "link_part"]

Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]
Part = tuple[dict[str, Any], Nodes]
"""Constants and nodes (operator, inputs, outputs, attributes) of a piece of the graph."""

OUTPUT_NAMES = {Link.IDENTITY: "numbers"}
"""Link -> name of the graph's first output; `probabilities` for all others."""
LEAST = 1e-30
"""Smallest probability of which the logarithm is taken."""


def link_part(link: Link, temperature: float) -> Part:
    """Return the part that computes the first output (batch, outputs) and `scope.certainty` (batch, 1) from `logits`.

    Args:
        temperature: number by which the logits were divided. A number is the logit times this temperature.
    """
    axis = {"link.axis": np.array([1])}
    if link is Link.SOFTMAX:
        return axis, [
            ("Softmax", ["logits"], ["probabilities"], {"axis": -1}),
            ("LogSoftmax", ["logits"], ["scope.log_p"], {"axis": -1}),
            ("Mul", ["probabilities", "scope.log_p"], ["scope.p_log_p"], {}),
            ("ReduceSum", ["scope.p_log_p", "link.axis"], ["scope.certainty"], {"keepdims": 1}),
        ]
    if link is Link.SIGMOID:
        return axis, [
            ("Sigmoid", ["logits"], ["probabilities"], {}),
            ("Neg", ["logits"], ["link.negative"], {}),
            ("Softplus", ["link.negative"], ["link.surprise"], {}),  # -log p
            ("Softplus", ["logits"], ["link.other_surprise"], {}),  # -log (1 - p)
            ("Mul", ["probabilities", "logits"], ["link.weighed"], {}),
            # p log p + (1 - p) log (1 - p) = p * logit - softplus(logit)
            ("Sub", ["link.weighed", "link.other_surprise"], ["scope.p_log_p"], {}),
            ("ReduceSum", ["scope.p_log_p", "link.axis"], ["scope.certainty"], {"keepdims": 1}),
        ]
    if link is Link.CUMULATIVE:
        constants = {
            **axis,
            "link.before": np.array([0, 1, 0, 0]),
            "link.behind": np.array([0, 0, 0, 1]),
            "link.one": np.array(1.0, np.float32),
            "link.zero": np.array(0.0, np.float32),
            "link.least": np.array(LEAST, np.float32),
        }
        return constants, [
            ("Sigmoid", ["logits"], ["link.above"], {}),  # (batch, grades - 1), chance of a grade above each
            ("Pad", ["link.above", "link.before", "link.one"], ["link.from"], {}),
            ("Pad", ["link.above", "link.behind", "link.zero"], ["link.to"], {}),
            ("Sub", ["link.from", "link.to"], ["link.difference"], {}),
            ("Relu", ["link.difference"], ["probabilities"], {}),
            ("Max", ["probabilities", "link.least"], ["link.some"], {}),
            ("Log", ["link.some"], ["scope.log_p"], {}),
            ("Mul", ["probabilities", "scope.log_p"], ["scope.p_log_p"], {}),
            ("ReduceSum", ["scope.p_log_p", "link.axis"], ["scope.certainty"], {"keepdims": 1}),
        ]
    constants = {"link.unit": np.array(temperature, np.float32), "link.zero": np.array(0.0, np.float32)}
    return constants, [
        ("Mul", ["logits", "link.unit"], ["numbers"], {}),
        ("Mul", ["logits", "link.zero"], ["scope.certainty"], {}),
    ]
