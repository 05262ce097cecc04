"""Planned time of fine-tuning, computed from a count of operations instead of measured with a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.runtime.numeric_class import NumericClass, bodies_at_once, tuning_class

__all__ = ["Cost", "tuning_cost"]


RATES = {
    NumericClass("torch", "cpu", "fp32"): 25e9,
    NumericClass("torch", "cpu", "bf16"): 50e9,
    NumericClass("torch", "cuda", "bf16"): 2e13,
}
"""Floating point operations per second that training reaches on one core or one GPU. Plans use these figures instead of a
clock. So a busy machine makes the same model as an idle one, and only takes longer."""
OPERATIONS_TO_TRAIN, OPERATIONS_TO_ENCODE = 6, 2
"""Operations per weight and unit of a row's size: two in the forward pass, and four in the backward pass. Encoding has no
backward pass."""


@dataclass(frozen=True)
class Cost:
    """Cost of training on rows and of encoding them, from the encoder's size and the device's speed."""

    weights: int
    """Number of weights outside the embeddings."""
    rate: float
    """Floating point operations per second, summed over the encoders that are tuned side by side."""

    def seconds(self, trained: int, encoded: int) -> float:
        """Return the planned seconds to train on rows of the size `trained` and to encode rows of the size `encoded`."""
        return self.weights * (OPERATIONS_TO_TRAIN * trained + OPERATIONS_TO_ENCODE * encoded) / self.rate


def tuning_cost(source: EncoderSource, device: Literal["cpu", "cuda"]) -> Cost:
    """Return the cost of an encoder on a device of this machine, from the shapes in its safetensors files."""
    from safetensors import safe_open

    weights = 0
    for path in source.folder.glob("model*.safetensors"):
        with safe_open(path, "np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        weights += sum(int(np.prod(shape)) for name, shape in shapes.items() if "embedding" not in name)
    return Cost(weights, (1 if device == "cuda" else bodies_at_once()) * RATES[tuning_class(device)])
