"""Comparison of two models on the same rows: accuracies, rows that only one of them gets right, and p-values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsat_tasks.numerics.types import Array


__all__ = ["compare_errors", "compare_losses", "fewest_gained", "most_lost"]


def compare_errors(new: Array, old: Array, within: float, seed: int) -> dict[str, Any]:
    """Compare a new model with an older one, row by row. A row is gained if the new model is nearer to the truth.

    Args:
        new, old: (n,) errors of both models on the same rows.
        within: maximum error of an answer that counts as right.
        seed: seed of the bootstrap.

    Returns:
        A dict with the number of `rows`; the older model's `accuracy` and its 95 % interval, `accuracy_low` to `accuracy_high`;
        `gained`, the number of rows on which the new model errs less; `lost`, the number on which the older one errs less; and
        two p-values of the exact sign test. If an answer is either right or wrong, this is McNemar's test. `p` belongs to the
        null hypothesis that the new model is no better, `worse_p` to the null hypothesis that it is no worse.
    """
    from fsat_tasks.numerics.evidence.metrics import accuracy_interval
    from fsat_tasks.numerics.evidence.paired import compare_paired_errors

    right = old <= within
    low, high = accuracy_interval(right, seed)
    paired = compare_paired_errors(new, old)
    return {
        "rows": len(old),
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "gained": paired.gained,
        "lost": paired.lost,
        "p": paired.better_p,
        "worse_p": paired.worse_p,
    }


def compare_losses(pairs: Sequence[tuple[float, float]], seed: int) -> dict[str, Any]:
    """Compare the losses of a new model with those of an older one, such as the log-losses.

    Args:
        pairs: for each row, the loss of the new model and that of the older one.
        seed: seed of the test.

    Returns:
        A dict with both mean losses, `challenger_loss` and `loss`; `loss_rows`, the number of rows; and `loss_p`, the p-value of
        the null hypothesis that the new model's mean loss is no lower. It is empty if there are no rows.
    """
    import numpy as np

    from fsat_tasks.numerics.evidence.paired import lower_loss_p

    if not pairs:
        return {}
    new, old = np.array(pairs, np.float64).T
    return {
        "loss_rows": len(pairs),
        "challenger_loss": float(new.mean()),
        "loss": float(old.mean()),
        "loss_p": lower_loss_p(new, old, seed),
    }


def fewest_gained(lost: int, significance: float) -> int:
    """Fewest rows that a model must gain to be better beyond chance (p at most `significance`), if it loses `lost` rows."""
    return next(gained for gained in itertools.count(lost) if _chance(gained, lost) <= significance)


def most_lost(gained: int, significance: float) -> int:
    """Most rows that a model may lose and not be worse beyond chance (p at least `significance`), if it gains `gained` rows."""
    return next(lost for lost in itertools.count(gained) if _chance(lost, gained) < significance) - 1


def _chance(most: int, other: int) -> float:
    """Chance that a fair coin, thrown `most` + `other` times, shows heads at least `most` times; see `compare_paired`."""
    from scipy.stats import binom

    return float(binom.sf(most - 1, most + other, 0.5))
