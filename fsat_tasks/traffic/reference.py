"""The reference head: a head that is fitted to labelled samples only, on features of the pretrained encoder.

A drift test compares new traffic with reference rows, which are rows of the unlabelled pool if the task has a pool. The reference
head judges both. The champion would be an unfair judge: it was tuned with the pool, so it is more confident on the pool's rows
than on new rows. The reference head has not seen the pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsat_tasks.models.head import load_baseline
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.targets.target import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.heads.calibrated import CalibratedHead
    from fsat_tasks.numerics.types import Array, Features

__all__ = ["Judged", "ReferenceHead", "fit_reference_head"]


@dataclass(frozen=True)
class Judged:
    """Features of rows, with the head's class shares and scope decisions."""

    rows: Array  # (n, layers * dim) features of unit length
    shares: Array | None  # (n, groups), share of each group in each row's answer; None for numbers
    scope: Array  # (n,) scope scores; higher is more like the samples
    outside: NDArray[np.bool_]  # (n,) true for rows out of scope

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ReferenceHead:
    """A linear probe on the pretrained encoder, with its temperature and its scope threshold."""

    target: Target
    labels: list[str]
    calibrated: CalibratedHead
    prior: Array  # (groups,) class shares of the samples that the head was fitted to
    samples: Judged
    """The samples. Each sample is judged by a head that was fitted without this sample."""

    def judge(self, features: Features) -> Judged:
        """Judge rows. `features` has the features of all layers, (n, layers, dim)."""
        from fsat_tasks.numerics.geometry.layers import mix_layers

        rows, head = mix_layers(features, self.calibrated.layers), self.calibrated
        scope = head.scope_scores(features)
        return Judged(rows, self.target.shares(head.outputs(features)), scope, scope < head.scope_threshold)


def fit_reference_head(run: Run, numeric_class: NumericClass) -> ReferenceHead:
    """Fit the reference head on the data of the champion's run.

    Args:
        run: the run that made the champion.
        numeric_class: engine, device and precision with which samples and class anchors are encoded.
    """
    from fsat_tasks.numerics.geometry.layers import mix_layers
    from fsat_tasks.numerics.heads.calibrated import Samples, fit_calibrated
    from fsat_tasks.numerics.heads.probe import LinearHead
    from fsat_tasks.numerics.shift.label_shift import shots_prior

    baseline, tables = load_baseline(run.tuned), run.tables
    samples = tables.samples.at_lines(run.head.lines)
    answers = run.answers(samples.labels)
    shots, anchors = run.features(samples.inputs, numeric_class), run.anchors(numeric_class)
    held_out = baseline.held_out.astype("f8")
    temperature = answers.judge(held_out).temperature
    calibrated = fit_calibrated(
        LinearHead(baseline.weight.astype("f8"), baseline.bias.astype("f8")),
        baseline.layers(shots.shape[2]),
        temperature,
        Samples(shots, answers, anchors, held_out),
        run.tuned.manifest["config"]["coverage"],
    )
    scope = calibrated.scope.held_out
    shares = run.target.shares(calibrated.link.outputs(held_out / temperature, temperature))
    judged = Judged(mix_layers(shots, calibrated.layers), shares, scope, scope < calibrated.scope_threshold)
    prior = shots_prior(answers.members()[1], answers.groups)
    return ReferenceHead(run.target, tables.classes.labels, calibrated, prior, judged)
