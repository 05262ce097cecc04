"""ONNX Runtime sessions, and which device there is to run them on."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from fsat_tasks.device import tuning_device
from fsat_tasks.errors import DeviceError, OutOfMemoryError

__all__ = ["Device", "onnxruntime_runs_on_cuda", "open_session", "or_on_the_cpu", "pick_device"]

Device = Literal["cpu", "cuda"]
T = TypeVar("T")

log = logging.getLogger(__name__)

SLOW_FUSIONS = ["SkipLayerNormFusion"]
"""Optimisations of ONNX Runtime that cost time on a CPU: the fused kernel takes six times as long as its two parts."""


def pick_device(device: str) -> Device:
    """The device to run on: `auto` takes a GPU that ONNX Runtime or torch can use, else the CPU.

    Raises:
        DeviceError: where `cuda` is asked for and no GPU answers.
    """
    found = _cuda_devices() > 0
    if device == "cuda" and not found:
        raise DeviceError("device", "an NVIDIA GPU with its driver", "none on this machine", "Use device auto or cpu.")
    if device == "auto" and found and not onnxruntime_runs_on_cuda() and tuning_device("cuda") == "cpu":
        log.warning("there is a GPU, but neither ONNX Runtime nor torch can use it (CUDA libraries missing?); using the CPU")
        return "cpu"
    return "cuda" if found and device != "cpu" else "cpu"


def or_on_the_cpu(wanted: str, work: Callable[[Device], T]) -> T:
    """The work on the device that `pick_device` picks; on the CPU where that GPU is gone or full, and `auto` was wanted."""
    picked = pick_device(wanted)
    try:
        return work(picked)
    except (DeviceError, OutOfMemoryError) as error:
        if picked == "cpu" or wanted != "auto":
            raise
        log.warning("Going on with the CPU, as device is auto: %s", str(error))  # a kept record would keep the error
    return work("cpu")  # no longer in the handler, which would keep what the GPU holds


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


def _cuda_devices() -> int:
    # asked of the driver, since importing torch for it would cost seconds in every run
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


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
        raise DeviceError("device cuda", "an ONNX Runtime that can use the GPU", "one that cannot",
                          "Install onnxruntime-gpu with CUDA and cuDNN, or use device cpu.")  # fmt: skip
    return session
