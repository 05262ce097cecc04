"""The planned time of fine-tuning, by a count of operations instead of a clock."""

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
"""Floating point operations a second that training reaches, of a core or a GPU. Plans are made with these figures and not
with a clock: a busy machine takes longer, but tunes the same model."""
OPERATIONS_TO_TRAIN, OPERATIONS_TO_ENCODE = 6, 2
"""Operations for each weight and token: two forward, four backward."""


@dataclass(frozen=True)
class Cost:
    """What tokens cost: the encoder's size, and the speed of the device."""

    weights: int
    """Weights outside the embeddings."""
    rate: float
    """Floating point operations a second, of all encoders that are tuned side by side."""

    def seconds(self, trained: int, encoded: int) -> float:
        """Planned time to train over so many tokens, and to encode so many."""
        return self.weights * (OPERATIONS_TO_TRAIN * trained + OPERATIONS_TO_ENCODE * encoded) / self.rate


def tuning_cost(source: EncoderSource, device: Literal["cpu", "cuda"]) -> Cost:
    """Cost of an encoder on a device of this machine, from the shapes in its safetensors files."""
    from safetensors import safe_open

    weights = 0
    for path in source.folder.glob("model*.safetensors"):
        with safe_open(path, "np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        weights += sum(int(np.prod(shape)) for name, shape in shapes.items() if "embedding" not in name)
    return Cost(weights, (1 if device == "cuda" else bodies_at_once()) * RATES[tuning_class(device)])
