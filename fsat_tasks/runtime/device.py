"""The one place that picks a device: the CPU, or a GPU that ONNX Runtime or torch can use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

from fsat_tasks.errors import DeviceError, OutOfMemoryError
from fsat_tasks.runtime.machine import Device, cuda_devices
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda

__all__ = ["onnx_device", "or_on_the_cpu", "pick_device", "tuning_device"]

log = logging.getLogger(__name__)

T = TypeVar("T")


def pick_device(wanted: str) -> Device:
    """The device to run on: `auto` takes a GPU that ONNX Runtime or torch can use, else the CPU.

    Raises:
        DeviceError: where `cuda` is asked for and no GPU answers.
    """
    found = cuda_devices() > 0
    if wanted == "cuda" and not found:
        raise DeviceError("device", "an NVIDIA GPU with its driver", "none on this machine", "Use device auto or cpu.")
    if wanted == "auto" and found and not onnxruntime_runs_on_cuda() and tuning_device("cuda") == "cpu":
        log.warning("there is a GPU, but neither ONNX Runtime nor torch can use it (CUDA libraries missing?); using the CPU")
        return "cpu"
    return "cuda" if found and wanted != "cpu" else "cpu"


def or_on_the_cpu(wanted: str, work: Callable[[Device], T]) -> T:
    """Do the work on the device that `pick_device` picks; on the CPU if `auto` was wanted and the GPU is gone or full."""
    picked = pick_device(wanted)
    try:
        return work(picked)
    except (DeviceError, OutOfMemoryError) as error:
        if picked == "cpu" or wanted != "auto":
            raise
        log.warning("Going on with the CPU, as device is auto: %s", str(error))  # a kept record would keep the error
    return work("cpu")  # no longer in the handler, which would keep what the GPU holds


def tuning_device(picked: Device) -> Device:
    """Where encoders are fine-tuned: on the picked device, unless the installed torch was built without CUDA."""
    return "cpu" if version("torch").endswith("+cpu") else picked


def onnx_device(picked: Device) -> Device:
    """Where a graph runs that exists only as ONNX, such as a fine-tuned encoder's: torch cannot load it on a GPU."""
    return picked if picked == "cpu" or onnxruntime_runs_on_cuda() else "cpu"
