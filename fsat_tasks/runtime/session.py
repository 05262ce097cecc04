"""ONNX Runtime sessions, on exactly the device that is asked for."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import Any

from fsat_tasks.errors import DeviceError
from fsat_tasks.runtime.machine import Device

__all__ = ["onnxruntime_runs_on_cuda", "open_session"]

SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""Optimisations of ONNX Runtime that cost time on a CPU: the fused kernel takes six times as long as its two parts."""


@functools.cache
def onnxruntime_runs_on_cuda() -> bool:
    """Only a session tells: the list of available providers has CUDA even where its libraries are missing."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    ort.set_default_logger_severity(4)  # what is missing is said in our own words
    _preload_cuda()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    return "CUDAExecutionProvider" in session.get_providers()


def _preload_cuda() -> None:
    """CUDA and cuDNN as torch's packages bring them; what it prints would spoil our own output."""
    import onnxruntime as ort

    with contextlib.redirect_stdout(sys.stderr):
        ort.preload_dlls()


def open_session(model: Path | bytes, device: Device, threads: int = 0, custom_operators: str | None = None) -> Any:
    """An ONNX Runtime session on exactly the device asked for.

    Args:
        threads: of one run on the CPU; 0 for one a core. With 1, several threads may call the session side by side.
        custom_operators: path of a library that the graph needs.

    Raises:
        DeviceError: where ONNX Runtime would fall back to the CPU.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if custom_operators is not None:
        options.register_custom_ops_library(custom_operators)
    if device == "cpu":
        # processors without VNNI add int8 products in 16 bits, which overflow; on them this asks for slower ones that do not
        options.add_session_config_entry("session.x64quantprecision", "1")
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOW_FUSIONS)
    _preload_cuda()
    session = ort.InferenceSession(model, options, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError(
            "device cuda",
            "an ONNX Runtime that can use the GPU",
            "one that cannot",
            "Install onnxruntime-gpu with CUDA and cuDNN, or use device cpu.",
        )
    return session
