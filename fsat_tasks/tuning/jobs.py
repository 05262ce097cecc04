"""Jobs that fine-tune an encoder, as plain data. This module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource

__all__ = ["FineTuningSettings", "TrainingRows", "TuningJob"]


@dataclass(frozen=True)
class FineTuningSettings:
    """Settings of fine-tuning."""

    method: Literal["full", "lora", "oft"] = "full"
    epochs: int = 6
    learning_rate: float = 1e-4
    temperature: float = 0.15
    """Temperature, by which the cosines are divided. A lower value gives sharper probabilities, and overfits sooner."""
    contrastive: float = 0.5
    """Weight of the supervised contrastive loss."""
    rows_per_step: int = 128
    """Maximum number of rows in a training batch."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows on which an encoder is fine-tuned, and the initial class vectors."""

    rows: Sequence[Prepared]  # n
    targets: NDArray[np.float32]  # (n, classes), the probability of each class; rows sum to 1
    class_vectors: NDArray[np.float32]  # (classes, dim), for example the mean feature of each class

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class TuningJob:
    """One encoder to fine-tune."""

    source: EncoderSource
    training: TrainingRows
    settings: FineTuningSettings
    seed: int
    device: Literal["cpu", "cuda"]
