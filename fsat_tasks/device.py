"""What this machine tunes bodies on, told without importing torch."""

from __future__ import annotations

import functools
import os
from importlib.metadata import version
from pathlib import Path
from typing import Literal

__all__ = ["available_cores", "has_bfloat16", "tuning_class", "tuning_device"]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tuning_class(device: Literal["cpu", "cuda"]) -> str:
    """Device and precision of body tuning: part of the numeric class of what is tuned."""
    return "torch-cuda-bf16" if device == "cuda" else "torch-cpu-bf16" if has_bfloat16() else "torch-cpu-fp32"


def tuning_device(device: Literal["cpu", "cuda"]) -> Literal["cpu", "cuda"]:
    """Where bodies are tuned: the device, unless it is a GPU that the torch which is installed was not built for."""
    return "cpu" if version("torch").endswith("+cpu") else device


@functools.cache
def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices faster than float32 ones."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:  # not Linux
        return False
