"""Results of a rung: a trial with its evidence, or the reason why it was skipped. If the rung is taken, also its model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np

from fsat_tasks.numerics.evidence.held_out import HeldOut, Prior
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import find_directions
from fsat_tasks.numerics.heads.answers import Answers, Probe, Setting, Teachable
from fsat_tasks.numerics.heads.memory import TaughtHead
from fsat_tasks.numerics.heads.pool_taught import fit_heads, prepare
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.types import Array, Features

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import Weights

__all__ = ["Fit", "HeadKind", "Skipped", "TraceEntry", "Trial", "fit_head"]


class HeadKind(Enum):
    """Kinds of heads, by how they are fitted."""

    PROTOTYPES = auto()
    PROBE = auto()
    TAUGHT = auto()
    """Fitted on samples and on pool rows, with a memory of pool rows (`TaughtHead`) if that helps."""


@dataclass(frozen=True)
class TraceEntry:
    """Outcome of one rung."""

    name: str
    taken: bool
    reason: str
    """A sentence for people."""
    log_loss: float | None
    """Calibrated log-loss of held-out samples; None if the rung was skipped."""
    accuracy: float | None
    seconds: float
    detail: str = ""
    """Statistics of the comparison in one line; empty if there was none."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The model of a rung. It states
    answers.link.outputs(head.logits(mix_layers(features, layers)) / held_out.temperature).
    """

    head: LinearHead | TaughtHead
    kind: HeadKind
    layers: int
    setting: Setting
    """Setting of the probe, for a refit on more samples."""
    share: float = 0.0
    """Weight of the memory of pool rows in the head; 0 without a memory."""
    held_out: HeldOut
    """Evidence on the samples, which were left out one by one or by folds. Its temperature is the one to use with the head."""
    weights: Weights | None = None
    """Weights of the fine-tuned encoder; None for the pretrained one."""
    shots: Features  # (n, layers, dim), from the encoder with these weights
    anchors: Features  # (classes, layers, dim)
    pool: Features  # (m, layers, dim), the rows that taught the head; m is 0 if no pool taught it
    unseen: Array | None = None
    """Two inputs of the scope score for each sample, (n, 2) (`scope.unseen_views`), from an encoder that was not tuned on the
    sample; None for the pretrained encoder."""
    trace: Sequence[TraceEntry] = ()
    baseline: Probe | None = None
    """The probe on the pretrained encoder. A fine-tuned model must not be worse than this probe."""


@dataclass(frozen=True)
class Skipped:
    """A rung that was not tried, or that gave no model."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Trial(ABC):
    """A rung that was tried: its evidence, and the evidence of the incumbent to compare it with."""

    held_out: HeldOut
    incumbent: HeldOut | None
    """Evidence of the incumbent, the rung to beat, on the samples of `held_out`; None if no rung has been taken."""
    prior: Prior | None = None
    """Expected gain of this rung; with None, only the evidence counts."""
    provisional: bool = False
    """True if the evidence is leave-one-out. When a later rung is judged by folds, evidence from folds replaces it."""

    @abstractmethod
    def fit(self) -> Fit:
        """Fit the model on all samples. This is called only if the rung is taken."""


def fit_head(
    shots: Features, answers: Answers, anchors: Features, pool: Features, setting: Setting, share: float
) -> LinearHead | TaughtHead:
    """Fit a head on all samples: the head that is taught by the pool, or the probe if the pool is empty.

    Args:
        share: weight of the memory of pool rows in the head.
    """
    if len(pool):
        assert isinstance(answers, Teachable), "only answers that a pool can teach are given one"
        directions = find_directions(pool, setting.layers, np.concatenate([shots, anchors]))
        return fit_heads(prepare(shots, answers, anchors, directions, setting), np.ones(len(answers), bool)).taught(share)
    return answers.fit(mix_layers(shots, setting.layers), mix_layers(anchors, setting.layers), setting)
