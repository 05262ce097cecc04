"""The rungs of the ladder, each with what it would make and its evidence, or why it was not tried.

There is no validation set. The lower rungs leave out one sample at a time, in closed form; the upper ones a fold.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.errors import DivergedError
from fsat_tasks.numerics.evidence.held_out import Comparison, HeldOut, Prior, compare, judge
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import PoolView, view_pool
from fsat_tasks.numerics.heads.frozen import Candidate, FrozenHead, fit_frozen_head, fit_setting
from fsat_tasks.numerics.heads.memory import TaughtHead
from fsat_tasks.numerics.heads.pool_taught import FOLDS, fit_heads, hold_out, prepare
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import fit_prototypes, prototype_loo_logits
from fsat_tasks.numerics.types import Array, Features, Labels
from fsat_tasks.tuning.budget import planned_seconds
from fsat_tasks.tuning.cross_fitting import DISTANCES, SHARE_OF_SHOTS, CrossFit, FoldPool, TunedHead, cross_fit, probe_on_folds
from fsat_tasks.tuning.material import Material, Rows
from fsat_tasks.tuning.pool_rows import drawn, task_view

if TYPE_CHECKING:
    from fsat_tasks.tuning.fine_tuning import BodySettings, Weights

__all__ = ["FROZEN_RUNGS", "PROTOTYPE_PRIOR", "RUNGS", "Climb", "Ladder", "LadderSettings", "Rung", "Try", "fit_head"]


FROZEN_RUNGS = ("prototypes", "probe", "pool")
RUNGS = (*FROZEN_RUNGS, "body", "body-pool", "self-training")
PROTOTYPE_PRIOR = 1.0
EPOCHS, FEWEST_EPOCHS = 6, 3
"""Of the body on the samples; fewer where the budget does not allow as many. More gave nothing on any set tried."""
LESSON_EPOCHS = 2
FOLD_POOL = 4096
"""Pool rows that one fold's body sees: each its own draw."""
FEWEST_LESSON_ROWS = 500
"""Of these, that it is tuned on; all where the budget allows."""
PROBE_PRIOR, BODY_PRIOR = Prior(0.1, 0.1), Prior(0.03, 0.04)
"""Of the probe over prototypes, and of a tuned body: on development splits of four sets, which no test set was part of, the probe
gained 0.11 nats in the mean of 54, with a spread of 0.1, and a body 0.014 to 0.29 on eight, 0.03 in the median."""
MAX_ORTHOGONALITY_ERROR = 1e-3
NO_POOL = "no unlabelled rows besides the samples"
TOO_FEW = f"fewer samples than the {FOLDS} folds of its evidence"


@dataclass(frozen=True)
class LadderSettings:
    """How far up the ladder a run may go."""

    rungs: Sequence[str] = RUNGS
    budget_seconds: float = 240.0
    """Planned time of body tuning, at most."""
    body: Literal["full", "lora", "oft"] = "full"
    class_weight: Literal["balanced"] | None = None
    """`balanced`: every class counts alike, however many samples it has; see `balance`."""


@dataclass(frozen=True)
class Rung:
    """One rung, and what became of it."""

    name: str
    taken: bool
    reason: str
    log_loss: float | None
    """Of samples that were left out, calibrated; None where the rung was not tried."""
    accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Climb:
    """Where the ladder ended: probabilities are softmax(head.logits(mix_layers(features, layers)) / held_out.temperature)."""

    head: LinearHead | TaughtHead
    layers: int
    setting: Candidate
    """Of the probe, for a fit on more samples."""
    share: float
    """Of the pool's memory."""
    held_out: HeldOut
    """On the samples, left out one by one or by folds; its temperature is the head's."""
    weights: Weights | None
    """Of the tuned body; None where the pretrained one stays."""
    shots: Features  # (n, layers, dim), by that body
    names: Features
    pool: Features
    """The rows that taught the head; empty where none did."""
    unseen: Array | None
    """(n, 2) `scope.unseen_views` by bodies that had not seen the sample; None where no body was tuned."""
    trace: list[Rung]
    baseline: FrozenHead | None = None
    """The probe on the pretrained encoder, which a tuned model must not be worse than."""


@dataclass(frozen=True)
class Try:
    """A rung's result: the climb that it would make, and its comparison with the rung that stands."""

    climb: Callable[[], Climb]
    held_out: HeldOut
    comparison: Comparison | None


def fit_head(
    shots: Features, labels: Labels, names: Features, pool: Features, setting: Candidate, share: float
) -> LinearHead | TaughtHead:
    """The head on all the samples: the probe, or what the pool teaches where there is one, its memory by its share."""
    if len(pool):
        view = view_pool(pool, setting.layers, np.concatenate([shots, names]))
        return fit_heads(prepare(shots, labels, names, view, setting), np.ones(len(labels), bool)).taught(share)
    rows, anchors = mix_layers(shots, setting.layers), mix_layers(names, setting.layers)
    return fit_setting(rows, labels, anchors, setting)


class Ladder:
    """The rungs; each gives what it would make and its evidence, or says why it was not tried."""

    def __init__(
        self, material: Material, settings: LadderSettings, seed: int, device: Literal["cpu", "cuda"], checkpoints: Path | None
    ) -> None:
        self.material, self.settings, self.seed = material, settings, seed
        self.device, self.checkpoints = device, checkpoints
        self.budget = settings.budget_seconds
        self.standing: HeldOut | None = None
        """Evidence of the rung that stands, of the kind that the next rung is compared with."""
        self.stands = ""
        self.tuned: CrossFit | None = None
        self.teachers_loss = np.inf

    @functools.cached_property
    def pool_view(self) -> PoolView:
        """The drawn pool rows, copies of samples with them."""
        return task_view(self.material, self.frozen.chosen.layers, self.seed)

    @functools.cached_property
    def fresh(self) -> NDArray[np.int64]:
        """Numbers of the drawn rows that are no copies of samples; none where no rung asks for a pool."""
        asked = {"pool", "body-pool", "self-training"} & set(self.settings.rungs)
        return self.pool_view.fresh(self.material.shots.features) if asked and len(self.material.pool) else np.empty(0, np.int64)

    @functools.cached_property
    def used(self) -> Rows:
        """The pool rows that teach."""
        return drawn(self.material.pool, self.seed).at(self.fresh)

    @functools.cached_property
    def fold_pools(self) -> list[FoldPool]:
        """Of each fold, with what the best teacher so far says of them; empty without a pool."""
        rng = np.random.default_rng(self.seed)
        return [FoldPool(rng.permutation(len(self.used))[:FOLD_POOL], None) for _ in range(FOLDS)] if len(self.used) else []

    @functools.cached_property
    def frozen(self) -> FrozenHead:
        material = self.material
        return fit_frozen_head(material.shots.features, material.labels, material.names.features)

    def prototypes(self) -> Try:
        """MAP class means on the unit sphere, on the last layer."""
        material = self.material
        rows, names = mix_layers(material.shots.features, 1), mix_layers(material.names.features, 1)
        held_out = judge(prototype_loo_logits(rows, material.labels, names, PROTOTYPE_PRIOR), material.labels, natural=False)
        head = fit_prototypes(rows, material.labels, names, PROTOTYPE_PRIOR)
        return Try(lambda: self._on_pretrained(head, 1, held_out), held_out, None)

    def probe(self) -> Try:
        """The anchored linear probe, its layers, ridge and prior by leave-one-out evidence."""
        found = self.frozen
        held_out = judge(found.held_out, self.material.labels)
        assert self.standing is not None
        return Try(
            lambda: self._on_pretrained(found.head, found.chosen.layers, held_out),
            held_out,
            compare(held_out, self.standing, PROBE_PRIOR),
        )

    def pool(self) -> Try | str:
        """The head that the unlabelled pool taught, on the pretrained encoder's features."""
        material, setting = self.material, self.frozen.chosen
        if len(self.fresh) == 0:
            return NO_POOL
        if len(material.labels) < FOLDS:
            return TOO_FEW
        view = self.pool_view.at(self.fresh)
        teaching = prepare(material.shots.features, material.labels, material.names.features, view, setting)
        evidence = hold_out(teaching)
        pairs = zip(self.fold_pools, evidence.soft_labels, strict=True)
        self.fold_pools = [FoldPool(pool.rows, soft[pool.rows]) for pool, soft in pairs]
        self.teachers_loss = evidence.taught.log_loss
        if self.stands == "probe":
            self.standing = evidence.probe
        assert self.standing is not None

        def climb() -> Climb:
            head = fit_heads(teaching, np.ones(len(material.labels), bool)).taught(evidence.share)
            reached = self._on_pretrained(head, setting.layers, evidence.taught)
            return replace(reached, share=evidence.share, pool=self.used.features)

        return Try(climb, evidence.taught, compare(evidence.taught, self.standing))

    def body(self) -> Try | str:
        """The probe on the features of a body tuned on the samples."""
        material = self.material
        if len(material.labels) < FOLDS:
            return TOO_FEW
        if self.stands == "pool" and "self-training" in self.settings.rungs and self._lesson()[0]:
            return "the pool's labels tune the body further: see self-training"
        epoch = self._planned((FOLDS - 1) * _count(material.shots), 0)
        for pools in (self.fold_pools, []):  # without the pool, where there is no time to encode it
            fixed = self._fixed_seconds(pools)
            epochs = EPOCHS if epoch == 0 else min(int((self.budget - fixed) / epoch), EPOCHS)
            if epochs >= FEWEST_EPOCHS:
                break
        else:
            return self._too_dear(fixed + FEWEST_EPOCHS * epoch)
        self.budget -= fixed + epochs * epoch
        if self.stands == "probe" and not np.isfinite(self.teachers_loss):
            self.standing = probe_on_folds(material, self.frozen.chosen)
        tuned = self._tune(self._body_settings(epochs), pools, 0, self.seed)
        if isinstance(tuned, str):
            return tuned
        self.tuned = tuned
        return self._on_tuned(tuned, tuned.probe, BODY_PRIOR)

    def body_pool(self) -> Try | str:
        """The head that the pool taught, on the features of the same body."""
        if self.tuned is None:
            return "needs the rung 'body'"
        return NO_POOL if self.tuned.taught is None else self._on_tuned(self.tuned, self.tuned.taught, None)

    def self_training(self) -> Try | str:
        """A body tuned afresh on samples and pool rows, these with the soft labels of the best teacher so far."""
        if len(self.used) == 0:
            return NO_POOL
        if len(self.material.labels) < FOLDS:
            return TOO_FEW
        if not np.isfinite(self.teachers_loss):
            return "needs the rung 'pool' or 'body'"
        rows, seconds = self._lesson()
        if rows == 0:
            return self._too_dear(seconds)
        self.budget -= seconds
        settings = self._body_settings(LESSON_EPOCHS, temperature=0.1, contrastive=0.2)
        tuned = self._tune(settings, self.fold_pools, rows, self.seed + FOLDS)
        if isinstance(tuned, str):
            return tuned
        assert tuned.taught is not None
        trusted = self.stands in ("pool", "body-pool")  # the evidence took what the pool taught before
        return self._on_tuned(tuned, tuned.taught, BODY_PRIOR if trusted else None)

    def _lesson(self) -> tuple[int, float]:
        """Pool rows that the budget allows for the self-training of each fold's body, and its planned seconds.

        With no rows, the budget does not allow even the fewest, and the seconds are what these would take.
        """
        most = len(self.fold_pools[0].rows)
        fixed = self._fixed_seconds(self.fold_pools) + self._planned((FOLDS - 1) * LESSON_EPOCHS * _count(self.material.shots), 0)
        # the shots are there besides, as a share of the pool rows
        row = self._planned(int(FOLDS * LESSON_EPOCHS * (1.0 + SHARE_OF_SHOTS) * _count(self.used)), 0) / len(self.used)
        rows = most if row == 0 else min(int((self.budget - fixed) / row), most)
        fewest = min(FEWEST_LESSON_ROWS, most)
        return (rows, fixed + row * rows) if rows >= fewest else (0, fixed + row * fewest)

    def _tune(self, settings: BodySettings, pools: list[FoldPool], lesson: int, seed: int) -> CrossFit | str:
        material = replace(self.material, pool=self.used)
        try:
            tuned = cross_fit(material, self.frozen.chosen, settings, pools, lesson, seed, self.device, self.checkpoints)
        except DivergedError as error:
            return str(error)
        if tuned.orthogonality_error > MAX_ORTHOGONALITY_ERROR:
            return f"rotations are off by {tuned.orthogonality_error:.1g}, more than {MAX_ORTHOGONALITY_ERROR:.0e}"
        if tuned.taught is not None and tuned.taught.held_out.log_loss < self.teachers_loss:
            self.fold_pools, self.teachers_loss = tuned.pools, tuned.taught.held_out.log_loss
        return tuned

    def _fixed_seconds(self, pools: list[FoldPool]) -> float:
        """Of encoding: each fold's body takes samples and names at each distance and its pool, and the mean body all of them."""
        rows = _count(self.material.shots) + _count(self.material.names)
        unlabelled = sum(_count(self.used.at(pool.rows)) for pool in pools) + (_count(self.used) if pools else 0)
        return self._planned(0, (len(DISTANCES) * FOLDS + 1) * rows + unlabelled)

    def _body_settings(self, epochs: int, **settings: float) -> BodySettings:
        from fsat_tasks.tuning.fine_tuning import BodySettings

        return BodySettings(self.settings.body, epochs, **settings)

    def _planned(self, trained: int, encoded: int) -> float:
        return planned_seconds(self.material.source, trained, encoded, self.device)

    def _too_dear(self, seconds: float) -> str:
        return f"planned at {seconds:.0f} s; {self.budget:.0f} s of the budget are left"

    def _on_pretrained(self, head: LinearHead | TaughtHead, layers: int, held_out: HeldOut) -> Climb:
        shots, names = self.material.shots.features, self.material.names.features
        return Climb(head, layers, self.frozen.chosen, 0.0, held_out, None, shots, names, shots[:0], None, [])

    def _on_tuned(self, tuned: CrossFit, found: TunedHead, prior: Prior | None) -> Try:
        fold_head = found.fold_head
        pool = tuned.pool if fold_head.soft_labels else tuned.pool[:0]
        assert self.standing is not None

        def climb() -> Climb:
            head = fit_head(tuned.shots, self.material.labels, tuned.names, pool, fold_head.setting, fold_head.share)
            return Climb(
                head,
                fold_head.setting.layers,
                fold_head.setting,
                fold_head.share,
                found.held_out,
                tuned.weights,
                tuned.shots,
                tuned.names,
                pool,
                found.unseen,
                [],
            )

        return Try(climb, found.held_out, compare(found.held_out, self.standing, prior))


def _count(rows: Rows) -> int:
    """Tokens of all rows."""
    return sum(map(len, rows.tokens))
