"""Numeric classes: library, device and precision of a computation, such as `onnxruntime-cpu-fp32`.

Different numeric classes give slightly different numbers. So the class is part of the key of each artefact in
the store.
"""

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
    """Return how many of the ladder's four encoders are fine-tuned side by side: 1, 2 or 4.

    Three at a time would need two rounds, as two at a time do.
    """
    return max(many for many in (1, 2, 4) if many <= available_cores())


def tuning_class(device: Literal["cpu", "cuda"]) -> str:
    """Return the device and precision of encoder fine-tuning. They are part of the numeric class of a tuned model."""
    return "torch-cuda-bf16" if device == "cuda" else "torch-cpu-bf16" if has_bfloat16() else "torch-cpu-fp32"


def planned_class(device: Literal["cpu", "cuda"]) -> str:
    """Return `tuning_class` and, on a CPU, the number of encoders side by side that the budget is planned with."""
    return tuning_class(device) if device == "cuda" else f"{tuning_class(device)} by {bodies_at_once()}"


PLANNED_CLASSES = (
    "torch-cuda-bf16",
    *(f"torch-cpu-{precision} by {many}" for precision in ("bf16", "fp32") for many in (4, 2, 1)),
)
"""All values that `planned_class` can return."""


CUDA_CLASSES = ("onnxruntime-cuda-fp16", "torch-cuda-bf16", "torch-cuda-fp16")
"""All values that `numeric_class` can return for a GPU."""


CPU_CLASS = "onnxruntime-cpu-fp32"


def numeric_class(device: Literal["cpu", "cuda"], precision: str) -> str:
    """Return the numeric class of features on this machine.

    Args:
        device: the device that computes the features.
        precision: precision on a CPU, such as `fp32` or `int8`. A GPU always uses half precision.
    """
    if device == "cpu":
        return f"onnxruntime-cpu-{precision}"
    return "onnxruntime-cuda-fp16" if onnxruntime_runs_on_cuda() else f"torch-cuda-{half_name()}"


def half_name(device: Literal["cpu", "cuda"] = "cuda") -> str:
    """Return the precision in which torch is fastest: `bf16` or `fp16`, or `fp32` on a CPU without fast bfloat16."""
    if device == "cpu":
        return "bf16" if has_bfloat16() else "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
