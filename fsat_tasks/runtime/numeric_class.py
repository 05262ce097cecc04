"""Numeric classes: what computes numbers, on which device and how precisely. They are part of the key of what is computed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fsat_tasks.runtime.machine import Device, available_cores, has_bfloat16
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda

__all__ = [
    "CPU_CLASS",
    "CUDA_CLASSES",
    "PLANNED_CLASSES",
    "NumericClass",
    "bodies_at_once",
    "encoding_class",
    "half_name",
    "planned_class",
    "tuning_class",
]

_TEXT = re.compile(r"(?P<engine>\w+)-(?P<device>cpu|cuda)(-(?P<precision>\w+))?")


@dataclass(frozen=True)
class NumericClass:
    """What computes numbers. Its text, such as `onnxruntime-cpu-fp32`, stands in keys and manifests."""

    engine: str
    """`onnxruntime`, `torch` or `numpy`."""
    device: Device
    precision: str = ""
    """`fp32`, `fp16`, `bf16`, `int8` or `fp64`; empty where the precision is that of a model that is an input."""
    at_once: int | None = None
    """Number of encoders that the plan of the budget tunes side by side; None on a GPU."""
    compared_on: Device | None = None
    """A second device on which the results were compared."""
    also: NumericClass | None = None
    """A second class that takes part."""

    def __str__(self) -> str:
        text = "-".join(part for part in (self.engine, self.device, self.precision) if part)
        text += f" by {self.at_once}" if self.at_once else ""
        text += f"+{self.compared_on}" if self.compared_on else ""
        return f"{text}, {self.also}" if self.also else text

    @classmethod
    def parse(cls, text: str) -> NumericClass:
        """The class of features, from the text in their manifest. Raises ValueError for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"expected a numeric class such as onnxruntime-cpu-fp32, got {text!r}")
        return cls(found["engine"], "cuda" if found["device"] == "cuda" else "cpu", found["precision"] or "")


CPU_CLASS = NumericClass("onnxruntime", "cpu", "fp32")
CUDA_CLASSES = (
    NumericClass("onnxruntime", "cuda", "fp16"),
    NumericClass("torch", "cuda", "bf16"),
    NumericClass("torch", "cuda", "fp16"),
)
"""Every class that `encoding_class` may give on a GPU."""


def encoding_class(device: Device, precision: str) -> NumericClass:
    """The class of features that are computed on a device.

    Args:
        precision: the exported encoder's; a GPU has its own.
    """
    if device == "cpu":
        return NumericClass("onnxruntime", "cpu", precision)
    return CUDA_CLASSES[0] if onnxruntime_runs_on_cuda() else NumericClass("torch", "cuda", half_name())


def half_name(device: Device = "cuda") -> str:
    """The lower precision in which torch is fast on this machine: `bf16` or `fp16`; `fp32` on a CPU that has neither."""
    if device == "cpu":
        return "bf16" if has_bfloat16() else "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def bodies_at_once() -> int:
    """Number of the ladder's four encoders that are tuned side by side; three cores take as long as two."""
    return max(many for many in (1, 2, 4) if many <= available_cores())


def tuning_class(device: Device) -> NumericClass:
    """The class of encoders that are tuned on a device."""
    return NumericClass("torch", device, "bf16" if device == "cuda" or has_bfloat16() else "fp32")


def planned_class(device: Device) -> NumericClass:
    """`tuning_class` and, on a CPU, how many encoders the plan of the budget tunes side by side."""
    at_once = None if device == "cuda" else bodies_at_once()
    tuned = tuning_class(device)
    return NumericClass(tuned.engine, tuned.device, tuned.precision, at_once)


PLANNED_CLASSES = (
    NumericClass("torch", "cuda", "bf16"),
    *(NumericClass("torch", "cpu", precision, many) for precision in ("bf16", "fp32") for many in (4, 2, 1)),
)
"""Every class that `planned_class` may give, in the order in which they are looked for."""
