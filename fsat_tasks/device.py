"""What this machine tunes bodies on, told without importing torch."""

from __future__ import annotations

import functools
import os
from importlib.metadata import version
from pathlib import Path
from typing import Literal

__all__ = [
    "PLANNED_CLASSES",
    "available_cores",
    "bodies_at_once",
    "has_bfloat16",
    "planned_class",
    "tuning_class",
    "tuning_device",
]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bodies_at_once() -> int:
    """How many of the ladder's four bodies are tuned side by side; three cores take as long as two."""
    return max(many for many in (1, 2, 4) if many <= available_cores())


def tuning_class(device: Literal["cpu", "cuda"]) -> str:
    """Device and precision of body tuning: part of the numeric class of what is tuned."""
    return "torch-cuda-bf16" if device == "cuda" else "torch-cpu-bf16" if has_bfloat16() else "torch-cpu-fp32"


def planned_class(device: Literal["cpu", "cuda"]) -> str:
    """`tuning_class` and, on a CPU, how many bodies the budget is planned with."""
    return tuning_class(device) if device == "cuda" else f"{tuning_class(device)} by {bodies_at_once()}"


PLANNED_CLASSES = (
    "torch-cuda-bf16",
    *(f"torch-cpu-{precision} by {many}" for precision in ("bf16", "fp32") for many in (4, 2, 1)),
)
"""What `planned_class` may be."""


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
