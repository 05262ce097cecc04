"""Array types that all numerics share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Features", "Labels"]

Features = NDArray[np.floating]
"""Features of n rows, (n, layers, dim): an encoder's layers from the embeddings to the last block."""
Array = NDArray[np.float64]
Labels = NDArray[np.int64]
"""Class number of each row, (n,), in 0..classes-1."""
