"""Numeric classes: what computes numbers, on which device and how precisely; part of the key of everything computed."""

from __future__ import annotations

from typing import Literal

from fsat_tasks.runtime.machine import available_cores, has_bfloat16
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda

__all__ = [
    "CPU_CLASS",
    "CUDA_CLASSES",
    "PLANNED_CLASSES",
    "bodies_at_once",
    "half_name",
    "numeric_class",
    "planned_class",
    "tuning_class",
]


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


CUDA_CLASSES = ("onnxruntime-cuda-fp16", "torch-cuda-bf16", "torch-cuda-fp16")
"""What `numeric_class` may be on a GPU."""


CPU_CLASS = "onnxruntime-cpu-fp32"


def numeric_class(device: Literal["cpu", "cuda"], precision: str) -> str:
    """What computes features, on what, how precisely: part of the key of all that they go into."""
    if device == "cpu":
        return f"onnxruntime-cpu-{precision}"
    return "onnxruntime-cuda-fp16" if onnxruntime_runs_on_cuda() else f"torch-cuda-{half_name()}"


def half_name(device: Literal["cpu", "cuda"] = "cuda") -> str:
    """Of the lower precision in which torch is fast here."""
    if device == "cpu":
        return "bf16" if has_bfloat16() else "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
