"""The plan of the budget: how long fine-tuning takes, by a count of operations instead of a clock."""

from __future__ import annotations

from typing import Literal

import numpy as np

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.runtime.numeric_class import bodies_at_once, tuning_class

__all__ = ["planned_seconds"]


RATES = {"torch-cpu-fp32": 25e9, "torch-cpu-bf16": 50e9, "torch-cuda-bf16": 2e13}
"""Floating point operations a second that training reaches, of a core or a GPU. Plans are made with these figures and not
with a clock: a busy machine takes longer, but tunes the same model."""
OPERATIONS_TO_TRAIN, OPERATIONS_TO_ENCODE = 6, 2
"""Of each weight and token: two forward, four backward."""


def planned_seconds(source: EncoderSource, trained: int, encoded: int, device: Literal["cpu", "cuda"]) -> float:
    """About how long it takes to train over so many tokens, and to encode so many, on the device."""
    from safetensors import safe_open

    weights = 0
    for path in source.folder.glob("model*.safetensors"):
        with safe_open(path, "np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        weights += sum(int(np.prod(shape)) for name, shape in shapes.items() if "embedding" not in name)
    operations = weights * (OPERATIONS_TO_TRAIN * trained + OPERATIONS_TO_ENCODE * encoded)
    return operations / ((1 if device == "cuda" else bodies_at_once()) * RATES[str(tuning_class(device))])
