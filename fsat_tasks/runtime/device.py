"""Choice of the device: the CPU, or a GPU that ONNX Runtime or torch can use. No other module chooses a device."""

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
    """Return the device to run on. `auto` means a GPU that ONNX Runtime or torch can use, or else the CPU.

    Args:
        wanted: `auto`, `cpu` or `cuda`.

    Raises:
        DeviceError: if `wanted` is `cuda` and the driver reports no GPU.
    """
    found = cuda_devices() > 0
    if wanted == "cuda" and not found:
        raise DeviceError("device", "an NVIDIA GPU with its driver", "none on this machine", "Use device auto or cpu.")
    if wanted == "auto" and found and not onnxruntime_runs_on_cuda() and tuning_device("cuda") == "cpu":
        log.warning("there is a GPU, but neither ONNX Runtime nor torch can use it (CUDA libraries missing?); using the CPU")
        return "cpu"
    return "cuda" if found and wanted != "cpu" else "cpu"


def or_on_the_cpu(wanted: str, work: Callable[[Device], T]) -> T:
    """Run `work` on the device that `pick_device` chooses, and return its result.

    With `auto`, the work is repeated on the CPU if the GPU fails or runs out of memory.
    """
    picked = pick_device(wanted)
    try:
        return work(picked)
    except (DeviceError, OutOfMemoryError) as error:
        if picked == "cpu" or wanted != "auto":
            raise
        # only the error's text: a log record with the error itself would keep the error's memory on the GPU
        log.warning("Going on with the CPU, because device is auto: %s", str(error))
    return work("cpu")  # outside the handler, because inside it the error would still keep memory on the GPU


def tuning_device(picked: Device) -> Device:
    """Return the device for fine-tuning encoders: `picked`, or the CPU if the installed torch has no CUDA support."""
    return "cpu" if version("torch").endswith("+cpu") else picked


def onnx_device(picked: Device) -> Device:
    """Return the device for a model that exists only as ONNX, such as a fine-tuned encoder.

    Torch cannot load such a model. So it runs on the CPU if ONNX Runtime cannot use the GPU.
    """
    return picked if picked == "cpu" or onnxruntime_runs_on_cuda() else "cpu"
