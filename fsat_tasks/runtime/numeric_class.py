"""Numeric classes: library, device and precision of a computation, such as `onnxruntime-cpu-fp32`.

Different numeric classes give slightly different numbers. So the store's key of an artefact includes the class.
"""

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
    """Library, device and precision of a computation. Store keys and manifests contain it as text."""

    engine: str
    """Library: `onnxruntime`, `torch` or `numpy`."""
    device: Device
    precision: str = ""
    """`fp32`, `fp16`, `bf16`, `int8` or `fp64`. Empty if the precision is that of a model among the inputs."""
    at_once: int | None = None
    """Number of encoders fine-tuned in parallel, as assumed in the plan of the time budget; None on a GPU."""
    compared_on: Device | None = None
    """Second device, if results of both devices were compared; otherwise None."""
    also: NumericClass | None = None
    """Numeric class of the fine-tuning, if this object describes a tuned head; otherwise None. The fields above
    then describe how the head was fitted."""

    def __str__(self) -> str:
        text = "-".join(part for part in (self.engine, self.device, self.precision) if part)
        text += f" by {self.at_once}" if self.at_once else ""
        text += f"+{self.compared_on}" if self.compared_on else ""
        return f"{text}, {self.also}" if self.also else text

    @classmethod
    def parse(cls, text: str) -> NumericClass:
        """Return the numeric class of features from the text in their manifest. Raises ValueError for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"expected a numeric class such as onnxruntime-cpu-fp32, got {text!r}")
        return cls(found["engine"], "cuda" if found["device"] == "cuda" else "cpu", found["precision"] or "")


CPU_CLASS = NumericClass("onnxruntime", "cpu", "fp32")
"""Numeric class of features on a CPU, in full precision."""
CUDA_CLASSES = (
    NumericClass("onnxruntime", "cuda", "fp16"),
    NumericClass("torch", "cuda", "bf16"),
    NumericClass("torch", "cuda", "fp16"),
)
"""All values that `encoding_class` can return for a GPU."""


def encoding_class(device: Device, precision: str) -> NumericClass:
    """Return the numeric class of features on this machine.

    Args:
        device: the device that computes the features.
        precision: precision of the exported encoder. It matters only on a CPU, because a GPU always uses half
            precision.
    """
    if device == "cpu":
        return NumericClass("onnxruntime", "cpu", precision)
    return CUDA_CLASSES[0] if onnxruntime_runs_on_cuda() else NumericClass("torch", "cuda", half_name())


def half_name(device: Device = "cuda") -> str:
    """Return the precision in which torch is fastest: `bf16` or `fp16`, or `fp32` on a CPU without fast bfloat16."""
    if device == "cpu":
        return "bf16" if has_bfloat16() else "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def bodies_at_once() -> int:
    """Return the number of encoders that are fine-tuned in parallel on a CPU: 1, 2 or 4.

    The ladder fine-tunes four encoders. Three in parallel would need two rounds, just as two in parallel do.
    """
    return max(many for many in (1, 2, 4) if many <= available_cores())


def tuning_class(device: Device) -> NumericClass:
    """Return the numeric class of encoder fine-tuning on a device."""
    return NumericClass("torch", device, "bf16" if device == "cuda" or has_bfloat16() else "fp32")


def planned_class(device: Device) -> NumericClass:
    """Return the class of fine-tuning. On a CPU, it includes the number of parallel encoders that the plan of time assumes."""
    at_once = None if device == "cuda" else bodies_at_once()
    tuned = tuning_class(device)
    return NumericClass(tuned.engine, tuned.device, tuned.precision, at_once)


PLANNED_CLASSES = (
    NumericClass("torch", "cuda", "bf16"),
    *(NumericClass("torch", "cpu", precision, many) for precision in ("bf16", "fp32") for many in (4, 2, 1)),
)
"""All values that `planned_class` can return. Artefacts are looked for in this order."""
