"""Layer mixing: the last layers of an encoder, side by side, as one row of unit length."""

from __future__ import annotations

import numpy as np

from fsat_tasks.numerics.types import Array, Features

__all__ = ["mix_layers"]


def mix_layers(features: Features, layers: int) -> Array:
    """The last `layers` layers side by side, each of equal length and the whole on the unit sphere.

    Args:
        features: (n, all layers, dim).

    Returns:
        (n, layers * dim); a layer of zeros stays.
    """
    rows = np.asarray(features[:, -layers:], np.float64)  # (n, layers, dim)
    norms = np.linalg.norm(rows, axis=2, keepdims=True)
    unit: Array = rows / (np.where(norms > 0, norms, 1.0) * np.sqrt(layers))
    return unit.reshape(len(unit), unit.shape[1] * unit.shape[2])
