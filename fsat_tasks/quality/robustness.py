"""Accuracy that is lost if query rows are changed in ways that keep their meaning, such as typos in texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fsat_tasks.inputs.modalities import perturb
from fsat_tasks.inputs.modality import Input, Modality

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["measure_robustness"]

ROWS = 200
"""Number of query rows that are perturbed, drawn with the seed. All of them are encoded again for each kind of change."""


def measure_robustness(
    modality: Modality,
    inputs: Sequence[Input],
    right: NDArray[np.bool_],
    is_right: Callable[[list[Input], NDArray[np.int64]], NDArray[np.bool_]],
    seed: int,
) -> dict[str, Any]:
    """For each of the modality's perturbations, compare the accuracy on changed rows with that on the rows before the change.

    Args:
        modality: what a row is.
        inputs: n rows.
        right: (n,), whether the model is right on each row without a change.
        is_right: function that takes m changed rows and their indices, and returns (m,), whether the model is right
            on each.
        seed: seed of the draw, the changes and the bootstrap.

    Returns:
        A dict with the number of `rows`, and `kinds`, a list with one dict for each kind of change: its name `kind`, the
        `accuracy`, and the `drop` in accuracy with its 95 % interval, `drop_low` to `drop_high`.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.paired import paired_drop

    rows = np.sort(np.random.default_rng(seed).permutation(len(inputs))[:ROWS])
    kinds = []
    for kind in modality.perturbations:
        after = is_right([perturb(modality, inputs[row], kind, seed + row) for row in rows.tolist()], rows)
        drop, low, high = paired_drop(right[rows], after, seed)
        kinds.append({"kind": kind, "accuracy": float(after.mean()), "drop": drop, "drop_low": low, "drop_high": high})
    return {"rows": len(rows), "kinds": kinds}
