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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.heads.calibrated import CalibratedHead
    from fsat_tasks.numerics.types import Array, Features

__all__ = ["Judged", "ReferenceHead", "fit_reference_head"]


@dataclass(frozen=True)
class Judged:
    """Features of rows, with the head's probabilities and scope decisions."""

    rows: Array  # (n, layers * dim) features of unit length
    probabilities: Array  # (n, classes), calibrated
    outside: NDArray[np.bool_]  # (n,) true for rows out of scope

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ReferenceHead:
    """A linear probe on the pretrained encoder, with its temperature and its scope threshold."""

    labels: list[str]
    calibrated: CalibratedHead
    prior: Array  # (classes,) class shares of the samples that the head was fitted to
    samples: Judged
    """The samples. Each sample is judged by a head that was fitted without this sample."""

    def judge(self, features: Features) -> Judged:
        """Judge rows. `features` has the features of all layers, (n, layers, dim)."""
        from fsat_tasks.numerics.geometry.layers import mix_layers

        rows, head = mix_layers(features, self.calibrated.layers), self.calibrated
        return Judged(rows, head.probabilities(features), ~head.in_scope(features))


def fit_reference_head(run: Run, numeric_class: NumericClass) -> ReferenceHead:
    """Fit the reference head on the data of the champion's run.

    Args:
        run: the run that made the champion.
        numeric_class: engine, device and precision with which samples and class names are encoded.
    """
    from scipy.special import softmax

    from fsat_tasks.numerics.evidence.calibration import fit_temperature
    from fsat_tasks.numerics.geometry.layers import mix_layers
    from fsat_tasks.numerics.heads.calibrated import Samples, fit_calibrated
    from fsat_tasks.numerics.heads.probe import LinearHead
    from fsat_tasks.numerics.shift.label_shift import shots_prior

    baseline, tables = load_baseline(run.tuned), run.tables
    samples = tables.samples.at_lines(run.head.lines)
    labels = tables.class_numbers(samples.labels)
    shots, anchors = run.features(samples.texts, numeric_class), run.features(tables.classes.texts, numeric_class)
    held_out = baseline.held_out.astype("f8")
    temperature = fit_temperature(held_out, labels)
    calibrated = fit_calibrated(
        LinearHead(baseline.weight.astype("f8"), baseline.bias.astype("f8")),
        baseline.layers(shots.shape[2]),
        temperature,
        Samples(shots, labels, anchors, held_out),
        run.tuned.manifest["config"]["coverage"],
    )
    outside = calibrated.scope.held_out < calibrated.scope_threshold
    judged = Judged(mix_layers(shots, calibrated.layers), softmax(held_out / temperature, axis=1), outside)
    return ReferenceHead(tables.classes.labels, calibrated, shots_prior(labels, len(tables.classes)), judged)
