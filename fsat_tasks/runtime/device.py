"""The one place that picks a device: the CPU, or a GPU that ONNX Runtime or torch can use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Literal, TypeVar

from fsat_tasks.errors import DeviceError, OutOfMemoryError
from fsat_tasks.runtime.machine import Device, cuda_devices
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda

__all__ = ["or_on_the_cpu", "pick_device", "tuning_device"]


log = logging.getLogger(__name__)

T = TypeVar("T")


def tuning_device(device: Literal["cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Where bodies are tuned: the device, unless it is a GPU that the torch which is installed was not built for."""
    return "cpu" if version("torch").endswith("+cpu") else device


def pick_device(device: str) -> Device:
    """The device to run on: `auto` takes a GPU that ONNX Runtime or torch can use, else the CPU.

    Raises:
        DeviceError: where `cuda` is asked for and no GPU answers.
    """
    found = cuda_devices() > 0
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
