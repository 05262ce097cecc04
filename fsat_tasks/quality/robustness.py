"""Accuracy that is lost if query rows are written in other ways that people write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.texts import KINDS, perturb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["measure_robustness"]

ROWS = 200
"""Number of query rows that are perturbed, drawn by the seed. Each kind encodes as many rows again."""


def measure_robustness(
    texts: Sequence[str],
    right: NDArray[np.bool_],
    is_right: Callable[[list[str], NDArray[np.int64]], NDArray[np.bool_]],
    seed: int,
) -> dict[str, Any]:
    """Compare the accuracy on perturbed rows with that on the same rows as they are, for each kind of `KINDS`.

    Args:
        texts: n texts.
        right: (n,) whether the model is right on each text as it is.
        is_right: texts and the numbers of their rows -> (m,) whether the model is right on each.
        seed: of the draw, the perturbations and the bootstrap.

    Returns:
        `rows`, and for each of `kinds` its name, the `accuracy`, and the `drop` with its 95 % interval, `drop_low` and
        `drop_high`.
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
