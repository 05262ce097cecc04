"""The adaptive tuning loop: a ladder of rungs, cheapest first. A rung is taken if held-out samples show that it helps.

A rung is compared with the incumbent, which is the rung taken last. Their log-losses are compared row by row, on the same
samples.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from fsat_tasks.errors import DataError
from fsat_tasks.numerics.evidence.calibration import balance_strength
from fsat_tasks.numerics.evidence.held_out import Comparison, HeldOut, Prior, compare, row_losses
from fsat_tasks.numerics.shift.label_shift import shots_prior
from fsat_tasks.numerics.types import Labels
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.tuning.encoder_rungs import BODY, BODY_POOL, SELF_TRAINING
from fsat_tasks.tuning.frozen_rungs import POOL, PROBE, PROTOTYPES
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.state import Incumbent, LadderSettings, Rung, Setup, State
from fsat_tasks.tuning.trial import Fit, Skipped, TraceEntry, Trial

__all__ = ["FROZEN_RUNGS", "LADDER", "RUNGS", "Compare", "balance", "run_ladder"]


log = logging.getLogger(__name__)

Compare = Callable[[HeldOut, HeldOut, Prior | None], Comparison]
"""Function that compares a challenger with the incumbent."""

LADDER = (PROTOTYPES, PROBE, POOL, BODY, BODY_POOL, SELF_TRAINING)
"""All rungs, from the cheapest; the first is always taken."""
RUNGS = tuple(rung.name for rung in LADDER)
"""Names of all rungs."""
FROZEN_RUNGS = tuple(rung.name for rung in LADDER if rung.frozen)
"""Names of the rungs that leave the encoder as it is."""


def run_ladder(material: Material, settings: LadderSettings, ladder: Sequence[Rung] = LADDER, compare: Compare = compare) -> Fit:
    """Try the rungs in order, skip those that the budget does not allow, and return the model of the rung taken last.

    Args:
        material: rows to tune on.
        settings: the rungs that may be tried, the budget, and how to tune.
        ladder: all rungs; the first is tried in any case.
        compare: decides whether a rung is better than the incumbent.

    Raises:
        DataError: if a feature is not finite, or if all samples have the same features.
        ValueError: if no rung was taken.
    """
    _check(material)
    asked = [rung for rung in ladder if rung is ladder[0] or settings.rungs is None or rung.name in settings.rungs]
    limit = math.inf if settings.limit_seconds is None else settings.limit_seconds
    setup, state = Setup(material, settings, asked), State(settings.budget_seconds, deadline=time.monotonic() + limit)
    fit: Fit | None = None
    trace: list[TraceEntry] = []
    for rung in asked:
        started = time.perf_counter()
        with show_work(f"rung {rung.name}"), threadpool_limits(1 if rung.frozen else None):  # several threads slow small products
            result, state = rung.attempt(setup, state)
        if isinstance(result, Skipped):
            trace.append(TraceEntry(rung.name, False, result.reason, None, None, time.perf_counter() - started))
            log.debug("%s: skipped. %s", rung.name, result.reason)
            continue
        taken, reason, detail = _decide(result, compare)
        if taken:
            with show_work(f"rung {rung.name}"), threadpool_limits(1):
                fit = result.fit()
            state = replace(state, incumbent=Incumbent(rung, result.held_out, result.provisional))
        held_out = result.held_out
        seconds = time.perf_counter() - started
        trace.append(TraceEntry(rung.name, taken, reason, held_out.log_loss, held_out.accuracy, seconds, detail))
        log.debug("%s: %s after %.1f s. %s", rung.name, "taken" if taken else "not taken", seconds, reason)
    if fit is None:
        raise ValueError(f"no rung was taken: the first of the ladder, {asked[0].name}, must not be skipped")
    fit = replace(fit, trace=tuple(trace), baseline=setup.probe)
    return balance(fit, material.labels) if settings.class_weight == "balanced" else fit


def balance(fit: Fit, labels: Labels) -> Fit:
    """Add an offset to the logits of each class, so that all classes have the same weight (see `balance_strength`)."""
    held_out = fit.held_out
    log_prior = np.log(shots_prior(labels, len(fit.anchors)))
    offset = -balance_strength(held_out.logits, labels, log_prior) * log_prior  # (classes,)
    logits = held_out.logits + offset
    balanced = replace(held_out, logits=logits, losses=row_losses(logits, labels), right=logits.argmax(axis=1) == labels)
    return replace(fit, head=fit.head.shifted(offset * held_out.temperature), held_out=balanced)


def _decide(trial: Trial, compare: Compare) -> tuple[bool, str, str]:
    """Decide whether the trial is taken. Return three values: whether it is, the reason, and the statistics."""
    if trial.incumbent is None:
        return True, "The first rung: there is nothing to compare it with.", ""
    comparison = compare(trial.held_out, trial.incumbent, trial.prior)
    return comparison.better, str(comparison), comparison.statistics


def _check(material: Material) -> None:
    parts = (("samples", material.shots), ("class names", material.anchors), ("unlabelled rows", material.pool.rows))
    for part, rows in parts:
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
