"""Names of the array types that the numerics share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Features", "Labels"]

Features = NDArray[np.floating]
"""(n, layers, dim): what an encoder gives for n rows, from the embeddings to the last block."""
Array = NDArray[np.float64]
Labels = NDArray[np.int64]
"""(n,): the position of each row's class."""
