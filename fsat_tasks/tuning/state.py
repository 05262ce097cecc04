"""Rungs and their inputs. The setup is not changed by any rung; the state is passed on from each rung to the next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Flag, auto
from functools import cached_property
from pathlib import Path
from typing import Literal

from fsat_tasks.numerics.evidence.held_out import HeldOut
from fsat_tasks.numerics.heads.answers import Probe
from fsat_tasks.numerics.types import Array
from fsat_tasks.tuning.budget import Cost, tuning_cost
from fsat_tasks.tuning.cross_fitting import CrossFit
from fsat_tasks.tuning.material import Material
from fsat_tasks.tuning.task_pool import TaskPool, find_task_pool
from fsat_tasks.tuning.trial import Skipped, Trial

__all__ = ["Incumbent", "LadderSettings", "Need", "Rung", "Setup", "State", "Teacher"]


@dataclass(frozen=True, kw_only=True)
class LadderSettings:
    """Settings of the ladder: the rungs that may be tried, the budget, and how to tune."""

    rungs: Sequence[str] | None = None
    """Names of the rungs that may be tried besides the first; None for all."""
    budget_seconds: float = 240.0
    """Maximum planned time of fine-tuning."""
    limit_seconds: float | None = None
    """Maximum time by the clock, after which a rung that is still fine-tuned is stopped; None for no limit."""
    fine_tuning: Literal["full", "lora", "oft"] = "full"
    class_weight: Literal["balanced"] | None = None
    """`balanced` gives all classes the same weight, whatever their numbers of samples; see `balance` in ladder.py."""
    seed: int = 0
    device: Literal["cpu", "cuda"] = "cpu"
    """Device on which encoders are fine-tuned."""
    checkpoints: Path | None = None
    """Folder that keeps fine-tuned encoders until the run is done; see `cross_fit`."""
    epochs: int = 6
    """Maximum number of epochs of fine-tuning on the samples. A small budget allows fewer. More than 6 helped on no data set."""
    self_training_epochs: int = 2


class Need(Flag):
    """Resources that a rung uses besides the samples and the pretrained encoder."""

    NOTHING = 0
    POOL = auto()
    """Unlabelled rows."""
    BUDGET = auto()
    """Time to fine-tune encoders."""
    BODY = auto()
    """The encoders that the rung `body` fine-tuned."""


@dataclass(frozen=True)
class Rung:
    """A rung of the ladder."""

    name: str
    attempt: Callable[[Setup, State], tuple[Trial | Skipped, State]]
    """Function that tries the rung or says why it is skipped. It also returns the state for the next rung."""
    needs: Need = Need.NOTHING

    @property
    def frozen(self) -> bool:
        """True if the rung works on features of the pretrained encoder."""
        return not self.needs & (Need.BUDGET | Need.BODY)

    @property
    def taught(self) -> bool:
        """True if the rung's head is taught by the pool."""
        return Need.POOL in self.needs


class Setup:
    """Data that is the same for all rungs: rows, settings, and values that are computed from these on first use.

    Args:
        material: rows of the task.
        settings: settings of the ladder.
        rungs: rungs that are tried.
    """

    def __init__(self, material: Material, settings: LadderSettings, rungs: Sequence[Rung]) -> None:
        self.material, self.settings, self.rungs = material, settings, tuple(rungs)

    @cached_property
    def probe(self) -> Probe:
        """The probe on the pretrained encoder, with the setting for which the leave-one-out evidence is best."""
        material = self.material
        return material.answers.search(material.shots.features, material.anchors.features)

    @cached_property
    def pool(self) -> TaskPool | None:
        """Pool rows that teach the task; None if no rung needs them, or if all of them are copies of samples."""
        if not any(rung.taught for rung in self.rungs):
            return None
        return find_task_pool(self.material, self.probe.chosen.layers, self.settings.seed)

    @cached_property
    def cost(self) -> Cost:
        """Cost of fine-tuning on the device."""
        return tuning_cost(self.material.source, self.settings.device)


@dataclass(frozen=True)
class Incumbent:
    """The rung that was taken last."""

    rung: Rung
    held_out: HeldOut
    """Evidence with which the next rung is compared."""
    provisional: bool = False
    """True if the evidence is leave-one-out evidence, which evidence from folds may replace; see `Trial.provisional`."""


@dataclass(frozen=True)
class Teacher:
    """Soft labels of the pool. They come from the best head so far among those that the pool taught."""

    soft_labels: Sequence[Array]
    """Soft labels of pool rows (rows, classes), one array for each fold, from a teacher fitted without the fold's samples."""
    log_loss: float
    """Log-loss of the samples. Each sample is judged by a head that was fitted without it."""


@dataclass(frozen=True)
class State:
    """State of the ladder after the rungs tried so far. It is the input of the next rung."""

    budget: float
    """Planned seconds of fine-tuning that are left."""
    incumbent: Incumbent | None = None
    teacher: Teacher | None = None
    body: CrossFit | None = None
    """The encoders that the rung `body` has fine-tuned; None if there are none."""
    deadline: float = math.inf
    """Time, by `time.monotonic`, at which fine-tuning is stopped."""

    @property
    def evidence(self) -> HeldOut | None:
        """Evidence of the incumbent; None if there is none yet."""
        return None if self.incumbent is None else self.incumbent.held_out

    def spend(self, seconds: float) -> State:
        """Subtract planned seconds from the budget."""
        return replace(self, budget=self.budget - seconds)

    def judged_by_folds(self, held_out: HeldOut) -> State:
        """Replace the incumbent's evidence with evidence from folds, if the incumbent's is provisional."""
        if self.incumbent is None or not self.incumbent.provisional:
            return self
        return replace(self, incumbent=replace(self.incumbent, held_out=held_out, provisional=False))

    def taught_by(self, teacher: Teacher) -> State:
        """Take the teacher if there is none yet, or if its log-loss is lower than that of the teacher in this state."""
        better = self.teacher is None or teacher.log_loss < self.teacher.log_loss
        return replace(self, teacher=teacher) if better else self
