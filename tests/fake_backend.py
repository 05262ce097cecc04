"""A backend that tells ids apart at no cost, and the texts for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.encoders.backends import Layers
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.errors import DeviceError, OutOfMemoryError

if TYPE_CHECKING:
    from fsat_tasks.encoders.prepare import Feed

DIM, LAYERS = 384, 7
TABLE = np.random.default_rng(0).normal(size=(997, DIM)).astype(np.float32)
WORDS = st.sampled_from(["card", "lost", "the", "money", "🎉", "é", ""])
TEXTS = st.lists(st.lists(WORDS, max_size=4).map(" ".join), min_size=1, max_size=30)
Make = Callable[..., Encoder]


class FakeBackend:
    """A backend whose features tell ids apart at no cost. `fits` rows have room; calls from number `breaks` on fail."""

    batch_size, workers, one_size = 64, 2, True

    def __init__(self, fits: int | None = None, breaks: int | None = None, seconds: float = 0) -> None:
        self.fits, self.breaks, self.seconds = fits, breaks, seconds
        self.asked: list[int] = []
        """Number of rows of each call."""
        self.rows: list[list[int]] = []
        """Ids of each row that was computed."""

    def run(self, feed: Feed, layers: Layers) -> NDArray[np.float32]:
        ids, mask = feed["input_ids"], feed["attention_mask"]
        self.asked.append(len(ids))
        time.sleep(self.seconds)
        if self.breaks is not None and len(self.asked) >= self.breaks:
            raise DeviceError("device cuda", "a GPU that answers", "none")
        if self.fits is not None and len(ids) > self.fits:
            raise OutOfMemoryError(f"{len(ids)} rows")
        self.rows += [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)]
        return np.stack([self.features(row[kept == 1], layers) for row, kept in zip(ids, mask, strict=True)])

    @staticmethod
    def features(row: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        every = np.stack([TABLE[(row * (layer + 1)) % len(TABLE)].mean(axis=0) for layer in range(LAYERS)])
        every /= np.linalg.norm(every, axis=1, keepdims=True)
        result: NDArray[np.float32] = every if layers == "all" else every[-1]
        return result
