"""The rung that stands, fitted again on more samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.numerics.evidence.held_out import HeldOut, judge
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.neighbours import is_copy
from fsat_tasks.numerics.heads.frozen import refit_frozen_head
from fsat_tasks.numerics.heads.memory import TaughtHead
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import fit_prototypes, prototype_loo_logits
from fsat_tasks.tuning.rungs import PROTOTYPE_PRIOR, Climb, fit_head

__all__ = ["refit"]


def refit(reached: Climb, shots: NDArray[np.float32], labels: NDArray[np.int64], names: NDArray[np.float32]) -> Climb:
    """The rung that stands on more samples, (n, layers, dim); its settings stay."""
    rung = [rung.name for rung in reached.trace if rung.taken][-1]
    head: LinearHead | TaughtHead
    if rung == "prototypes":
        rows, anchors = mix_layers(shots, reached.layers), mix_layers(names, reached.layers)
        held_out = judge(prototype_loo_logits(rows, labels, anchors, PROTOTYPE_PRIOR), labels, natural=False)
        head = fit_prototypes(rows, labels, anchors, PROTOTYPE_PRIOR)
    else:
        found = refit_frozen_head(shots, labels, names, reached.setting)
        held_out = judge(found.held_out, labels)
        head = found.head
        if rung != "probe":  # the old samples taught a body or a pool's labels: left out by the probe alone they look too easy
            if len(reached.pool):  # a row of the pool may have got its label
                copied = is_copy(mix_layers(reached.pool, reached.layers), mix_layers(shots, reached.layers))
                reached = replace(reached, pool=reached.pool[~copied])
            head = fit_head(shots, labels, names, reached.pool, reached.setting, reached.share)
            held_out = _joined(reached.held_out, held_out)
    return replace(reached, head=head, held_out=held_out, shots=shots, names=names)


def _joined(old: HeldOut, refitted: HeldOut) -> HeldOut:
    """The evidence of the old samples as it was, where the classes are the same, and of the new ones by the refit."""
    if old.logits.shape[1] != refitted.logits.shape[1]:
        return replace(refitted, temperature=old.temperature)
    parts = ((old.logits, refitted.logits), (old.losses, refitted.losses), (old.right, refitted.right))
    logits, losses, right = (np.concatenate([before, after[len(before) :]]) for before, after in parts)
    return HeldOut(logits, old.temperature, losses, right)
