"""Layer mixing: for each text, the outputs of an encoder's last layers are concatenated to one row of unit length."""

from __future__ import annotations

import numpy as np

from fsat_tasks.numerics.types import Array, Features

__all__ = ["mix_layers"]


def mix_layers(features: Features, layers: int) -> Array:
    """Scale the last layers to equal length and concatenate them to rows of unit length.

    Args:
        features: (n, all layers, dim).
        layers: number of last layers to use.

    Returns:
        (n, layers * dim). A layer of zeros stays zero.
    """
    rows = np.asarray(features[:, -layers:], np.float64)  # (n, layers, dim)
    norms = np.linalg.norm(rows, axis=2, keepdims=True)
    unit: Array = rows / (np.where(norms > 0, norms, 1.0) * np.sqrt(layers))
    return unit.reshape(len(unit), unit.shape[1] * unit.shape[2])
