"""ONNX Runtime sessions that run on exactly the requested device."""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import Any

from fsat_tasks.errors import DeviceError
from fsat_tasks.runtime.machine import Device

__all__ = ["onnxruntime_runs_on_cuda", "open_session"]


@functools.cache
def onnxruntime_runs_on_cuda() -> bool:
    """Return whether ONNX Runtime can use a GPU, by opening a small session on it.

    The list of available providers cannot answer this, because it names CUDA even if the CUDA libraries are missing.
    """
    import onnxruntime as ort
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    ort.set_default_logger_severity(4)  # silent: fsat has its own message for missing libraries
    _preload_cuda()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    return "CUDAExecutionProvider" in session.get_providers()


def _preload_cuda() -> None:
    """Load the CUDA and cuDNN libraries from torch's packages. ONNX Runtime's messages go to standard error."""
    import onnxruntime as ort

    with contextlib.redirect_stdout(sys.stderr):
        ort.preload_dlls()


def open_session(model: Path | bytes, device: Device, threads: int = 0, custom_operators: str | None = None) -> Any:
    """Open an ONNX Runtime session on exactly the requested device.

    Graphs are optimised as by default, so that fsat measures what any other server of the graph gives.

    Args:
        model: path of the ONNX graph, or its bytes.
        device: device that every run uses.
        threads: number of threads of one run on the CPU; 0 for one per core. Use 1 if several threads call the session
            in parallel.
        custom_operators: path of an operator library that the graph needs, if any.

    Raises:
        DeviceError: if ONNX Runtime would fall back from the GPU to the CPU.
    """
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if custom_operators is not None:
        options.register_custom_ops_library(custom_operators)
    if device == "cpu":
        # int8 graphs of older versions of fsat overflow on a processor without VNNI. This option selects slower kernels
        # that do not overflow.
        options.add_session_config_entry("session.x64quantprecision", "1")
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
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
