"""Array types that all numerics share."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Features", "Flags", "Labels", "LayerFeatures", "Matrix", "Vector"]

Features = NDArray[np.floating]
"""Features of n rows, (n, layers, dim): an encoder's layers from the embeddings to the last block."""
Array = NDArray[np.float64]
Labels = NDArray[np.int64]
"""Class number of each row, (n,), in 0..classes-1."""

# fields of dataclasses that are saved say how many dimensions their arrays have
Vector = Annotated[Array, 1]
Matrix = Annotated[Array, 2]
LayerFeatures = Annotated[Features, 3]
Flags = Annotated[NDArray[np.bool_], 1]
