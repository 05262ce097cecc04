"""How much accuracy is lost when query rows are typed as people type them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.texts import KINDS, perturb

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["measure_robustness"]

ROWS = 200
"""Query rows that are perturbed, drawn by the seed: each kind costs as many more to encode."""


def measure_robustness(
    texts: Sequence[str],
    right: NDArray[np.bool_],
    is_right: Callable[[list[str], NDArray[np.int64]], NDArray[np.bool_]],
    seed: int,
) -> dict[str, Any]:
    """Accuracy on perturbed rows beside that on the same rows as they are, for each kind of `KINDS`.

    Args:
        right: (n,) whether each row is right as it is.
        is_right: texts and the numbers of their rows -> (m,) whether each is right.
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
