"""Accuracy that is lost if the texts of query rows have typos, or if their capitals, punctuation or spacing are changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.texts import KINDS, perturb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["measure_robustness"]

ROWS = 200
"""Number of query rows that are perturbed, drawn with the seed. All of them are encoded again for each kind of change."""


def measure_robustness(
    texts: Sequence[str],
    right: NDArray[np.bool_],
    is_right: Callable[[list[str], NDArray[np.int64]], NDArray[np.bool_]],
    seed: int,
) -> dict[str, Any]:
    """For each kind of change in `KINDS`, compare the accuracy on changed texts with that on the texts before the change.

    Args:
        texts: n texts.
        right: (n,), whether the model is right on each text without a change.
        is_right: function that takes m changed texts and the indices of their rows, and returns (m,), whether the model is right
            on each.
        seed: seed of the draw, the changes and the bootstrap.

    Returns:
        A dict with the number of `rows`, and `kinds`, a list with one dict for each kind of change: its name `kind`, the
        `accuracy`, and the `drop` in accuracy with its 95 % interval, `drop_low` to `drop_high`.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.paired import paired_drop

    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:ROWS])
    kinds = []
    for kind in KINDS:
        after = is_right([perturb(texts[row], kind, seed + row) for row in rows.tolist()], rows)
        drop, low, high = paired_drop(right[rows], after, seed)
        kinds.append({"kind": kind, "accuracy": float(after.mean()), "drop": drop, "drop_low": low, "drop_high": high})
    return {"rows": len(rows), "kinds": kinds}
