"""The adaptive tuning loop: a ladder of rungs, cheapest first, each taken only where held-out samples say that it helps.

A rung is compared with the one that stands by the log-loss of the same samples, row by row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fsat_tasks.errors import DataError
from fsat_tasks.numerics.evidence.calibration import balance_strength
from fsat_tasks.numerics.evidence.held_out import HeldOut, row_losses
from fsat_tasks.numerics.shift.label_shift import shots_prior
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.rungs import FROZEN_RUNGS, RUNGS, Climb, Ladder, LadderSettings, Rung, Try

__all__ = ["balance", "climb"]


def climb(
    material: Material,
    settings: LadderSettings,
    seed: int,
    device: Literal["cpu", "cuda"] = "cpu",
    checkpoints: Path | None = None,
) -> Climb:
    """Go up the ladder as far as evidence and budget allow.

    Args:
        device: for the body.
        checkpoints: where tuned bodies are kept until the run is done; see `cross_fit`.

    Raises:
        DataError: where features are not finite, or all the same.
    """
    _check(material)
    ladder = Ladder(material, settings, seed, device, checkpoints)
    rungs: dict[str, Callable[[], Try | str]] = {
        "prototypes": ladder.prototypes,
        "probe": ladder.probe,
        "pool": ladder.pool,
        "body": ladder.body,
        "body-pool": ladder.body_pool,
        "self-training": ladder.self_training,
    }
    trace: list[Rung] = []
    standing: Climb | None = None
    for name in (name for name in RUNGS if name in settings.rungs or name == "prototypes"):
        started = time.perf_counter()
        with threadpool_limits(1 if name in FROZEN_RUNGS else None):  # products this small lose by sharing
            result = rungs[name]()
        if isinstance(result, str):
            trace.append(Rung(name, False, result, None, None, time.perf_counter() - started))
            continue
        taken = result.comparison is None or result.comparison.better
        if taken:
            with threadpool_limits(1):
                standing, ladder.standing, ladder.stands = result.climb(), result.held_out, name
        reason = "the first rung" if result.comparison is None else str(result.comparison)
        held_out = result.held_out
        trace.append(Rung(name, taken, reason, held_out.log_loss, held_out.accuracy, time.perf_counter() - started))
    assert standing is not None
    reached = replace(standing, trace=trace, baseline=ladder.frozen)
    return balance(reached, material.labels) if settings.class_weight == "balanced" else reached


def balance(reached: Climb, labels: NDArray[np.int64]) -> Climb:
    """The same model for classes that are equally likely, by an offset of each class (`balance_strength`)."""
    held_out = reached.held_out
    log_prior = np.log(shots_prior(labels, len(reached.names)))
    offset = -balance_strength(held_out.logits, labels, log_prior) * log_prior  # (classes,)
    logits = held_out.logits + offset
    balanced = HeldOut(logits, held_out.temperature, row_losses(logits, labels), logits.argmax(axis=1) == labels)
    return replace(reached, head=reached.head.shifted(offset * held_out.temperature), held_out=balanced)


def _check(material: Material) -> None:
    for part, rows in (("samples", material.shots), ("class names", material.names), ("unlabelled rows", material.pool)):
        finite = np.isfinite(rows.features).all(axis=(1, 2))
        if not finite.all():
            raise DataError(
                f"features of the {part}, row {int(np.argmin(finite)) + 1}",
                "finite numbers",
                "NaN or infinity",
                "The encoder cannot represent this text, or its weights are damaged.",
            )
    shots = material.shots.features
    if len(shots) > 1 and (shots == shots[0]).all():
        raise DataError(
            "features of the samples",
            "texts that differ",
            "the same features for all of them",
            "Check the text column, and the encoder.",
        )
