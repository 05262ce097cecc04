"""The adaptive tuning loop: a ladder of rungs, cheapest first, each taken only where held-out samples say that it helps.

There is no validation set. The lower rungs leave out one sample at a time, in closed form; the upper ones a fold. A rung is
compared with the one that stands by the log-loss of the same samples, row by row.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fsat_tasks.body_rung import CrossFit, Material, Rows, cross_fit, planned_seconds, probe_on_folds
from fsat_tasks.errors import DataError
from fsat_tasks.numerics.distil import FOLDS, draw_pool, fit_heads, hold_out, prepare
from fsat_tasks.numerics.evidence import Comparison, HeldOut, compare, judge
from fsat_tasks.numerics.frozen_head import Candidate, FrozenHead, fit_frozen_head, fit_setting, mix_layers
from fsat_tasks.numerics.probe import LinearHead
from fsat_tasks.numerics.prototypes import fit_prototypes, prototype_loo_logits

if TYPE_CHECKING:
    from fsat_tasks.body import BodySettings, Weights

__all__ = ["FROZEN_RUNGS", "RUNGS", "Climb", "LadderSettings", "Rung", "climb", "fit_head"]

Features = NDArray[np.floating]
Labels = NDArray[np.int64]

FROZEN_RUNGS = ("prototypes", "probe", "pool")
RUNGS = (*FROZEN_RUNGS, "body", "body-pool", "self-training")
PROTOTYPE_PRIOR = 1.0
EPOCHS = {"body": 6, "self-training": 2}
"""At most; fewer where the budget does not allow as many. More gave nothing on any set tried."""
FEWEST_EPOCHS = {"body": 3, "self-training": 1}
MAX_ORTHOGONALITY_ERROR = 1e-3


@dataclass(frozen=True)
class LadderSettings:
    """How far up the ladder a run may go."""

    rungs: Sequence[str] = RUNGS
    budget_seconds: float = 240.0
    """Planned time of body tuning, at most."""
    body: Literal["full", "lora", "oft"] = "full"


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

    head: LinearHead
    layers: int
    setting: Candidate
    """Of the probe, for a fit on more samples."""
    held_out: HeldOut
    """On the samples, left out one by one or by folds; its temperature is the head's."""
    weights: Weights | None
    """Of the tuned body; None where the pretrained one stays."""
    shots: Features  # (n, layers, dim), by that body
    names: Features
    pool: Features
    """The rows that taught the head; empty where none did."""
    trace: list[Rung]


@dataclass(frozen=True)
class _Try:
    """A rung's result: the climb that it would make, and its comparison with the rung that stands."""

    climb: Callable[[], Climb]
    held_out: HeldOut
    comparison: Comparison | None


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
    ladder = _Ladder(material, settings, seed, device, checkpoints)
    rungs: dict[str, Callable[[], _Try | str]] = {
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
    return replace(standing, trace=trace)


def fit_head(shots: Features, labels: Labels, names: Features, pool: Features, setting: Candidate) -> LinearHead:
    """The head on all the samples: the probe, or the student where there is a pool to teach it."""
    if len(pool):
        return fit_heads(prepare(shots, labels, names, pool, setting), np.ones(len(labels), bool)).student
    rows, anchors = mix_layers(shots, setting.layers), mix_layers(names, setting.layers)
    return fit_setting(rows, labels, anchors, setting)


class _Ladder:
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
        self.used = Rows(material.pool.features[:0], [])
        """The pool rows that teach."""

    @functools.cached_property
    def frozen(self) -> FrozenHead:
        material = self.material
        return fit_frozen_head(material.shots.features, material.labels, material.names.features)

    def prototypes(self) -> _Try:
        """MAP class means on the unit sphere, on the last layer."""
        material = self.material
        rows, names = mix_layers(material.shots.features, 1), mix_layers(material.names.features, 1)
        held_out = judge(prototype_loo_logits(rows, material.labels, names, PROTOTYPE_PRIOR), material.labels)
        head = fit_prototypes(rows, material.labels, names, PROTOTYPE_PRIOR)
        return _Try(lambda: self._on_pretrained(head, 1, held_out), held_out, None)

    def probe(self) -> _Try:
        """The anchored linear probe, its layers, ridge and prior by leave-one-out evidence."""
        found = self.frozen
        held_out = judge(found.held_out, self.material.labels)
        assert self.standing is not None
        return _Try(
            lambda: self._on_pretrained(found.head, found.chosen.layers, held_out), held_out, compare(held_out, self.standing)
        )

    def pool(self) -> _Try | str:
        """The student that the unlabelled pool taught, on the pretrained encoder's features."""
        material, setting = self.material, self.frozen.chosen
        rows = draw_pool(material.pool.features, material.shots.features, setting.layers, self.seed)
        if len(rows) == 0:
            return "no unlabelled rows besides the samples"
        if len(material.labels) < FOLDS:
            return f"fewer samples than the {FOLDS} folds of its evidence"
        self.used = Rows(material.pool.features[rows], [material.pool.tokens[i] for i in rows])
        teaching = prepare(material.shots.features, material.labels, material.names.features, self.used.features, setting)
        evidence = hold_out(teaching)
        if self.stands == "probe":
            self.standing = evidence.probe
        assert self.standing is not None
        held_out = evidence.student
        # what more shots do to the temperature of the probe, which is 1 on all of them, they do to that of the student
        held_out = replace(held_out, temperature=held_out.temperature / evidence.probe.temperature)

        def climb() -> Climb:
            head = fit_heads(teaching, np.ones(len(material.labels), bool)).student
            return replace(self._on_pretrained(head, setting.layers, held_out), pool=self.used.features)

        return _Try(climb, held_out, compare(held_out, self.standing))

    def body(self) -> _Try | str:
        """The probe on the features of a body tuned on the samples."""
        material = self.material
        if len(material.labels) < FOLDS:
            return f"fewer samples than the {FOLDS} folds of its evidence"
        tokens = (FOLDS - 1) * sum(map(len, material.shots.tokens))
        settings = self._planned("body", tokens)
        if isinstance(settings, str):
            return settings
        if self.stands == "probe" and not len(self.used):
            self.standing = probe_on_folds(material, self.frozen.chosen)
        self.tuned = cross_fit(
            replace(material, pool=self.used), self.frozen.chosen, settings, None, self.seed, self.device, self.checkpoints
        )
        return self._on_tuned(self.tuned, taught=False)

    def body_pool(self) -> _Try | str:
        """The student that the pool taught, on the features of the same body."""
        if self.tuned is None:
            return "needs the rung 'body'"
        if self.tuned.student is None:
            return "no unlabelled rows besides the samples"
        return self._on_tuned(self.tuned, taught=True)

    def self_training(self) -> _Try | str:
        """A body tuned afresh on samples and pool rows, these with the soft labels of the tuned body's teacher."""
        material = replace(self.material, pool=self.used)
        if self.tuned is None or self.tuned.student is None:
            return "needs the rung 'body-pool'"
        tokens = sum(map(len, self.used.tokens)) + sum(map(len, material.shots.tokens))
        settings = self._planned("self-training", FOLDS * tokens)
        if isinstance(settings, str):
            return settings
        retuned = cross_fit(
            material, self.frozen.chosen, settings, self.tuned.soft_labels, self.seed + FOLDS, self.device, self.checkpoints
        )
        taught = retuned.student is not None and retuned.student.log_loss < retuned.probe.log_loss
        return self._on_tuned(retuned, taught)

    def _planned(self, rung: str, tokens: int) -> BodySettings | str:
        """The rung's settings, with as many epochs as the budget allows; or why there are too few."""
        from fsat_tasks.body import BodySettings

        seconds = planned_seconds(self.material.source, tokens, self.device)  # of one epoch
        epochs = int(min(self.budget / seconds, EPOCHS[rung])) if seconds else EPOCHS[rung]
        if epochs < FEWEST_EPOCHS[rung]:
            return f"planned at {seconds * FEWEST_EPOCHS[rung]:.0f} s; {self.budget:.0f} s of the budget are left"
        self.budget -= epochs * seconds
        if rung == "body":
            return BodySettings(self.settings.body, epochs)
        return BodySettings(self.settings.body, epochs, temperature=0.1, contrastive=0.2)

    def _on_pretrained(self, head: LinearHead, layers: int, held_out: HeldOut) -> Climb:
        shots, names = self.material.shots.features, self.material.names.features
        return Climb(head, layers, self.frozen.chosen, held_out, None, shots, names, shots[:0], [])

    def _on_tuned(self, tuned: CrossFit, taught: bool) -> _Try | str:
        if tuned.orthogonality_error > MAX_ORTHOGONALITY_ERROR:
            return f"rotations are off by {tuned.orthogonality_error:.1g}, more than {MAX_ORTHOGONALITY_ERROR:.0e}"
        setting, pool = self.frozen.chosen, tuned.pool if taught else tuned.pool[:0]
        held_out = tuned.student if taught else tuned.probe
        assert held_out is not None and self.standing is not None

        def climb() -> Climb:
            head = fit_head(tuned.shots, self.material.labels, tuned.names, pool, setting)
            return Climb(head, setting.layers, setting, held_out, tuned.weights, tuned.shots, tuned.names, pool, [])

        return _Try(climb, held_out, compare(held_out, self.standing))


def _check(material: Material) -> None:
    for part, rows in (("samples", material.shots), ("class names", material.names), ("unlabelled rows", material.pool)):
        finite = np.isfinite(rows.features).all(axis=(1, 2))
        if not finite.all():
            raise DataError(f"features of the {part}, row {int(np.argmin(finite)) + 1}", "finite numbers", "NaN or infinity",
                            "The encoder cannot represent this text, or its weights are damaged.")  # fmt: skip
    shots = material.shots.features
    if len(shots) > 1 and (shots == shots[0]).all():
        raise DataError("features of the samples", "texts that differ", "the same features for all of them",
                        "Check the text column, and the encoder.")  # fmt: skip
