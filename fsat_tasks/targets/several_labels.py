"""Target `several_labels`: each row has one or more of several classes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fsat_tasks.errors import DataError
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.model_gates import calibration_gate, class_recall_gate, macro_f1_gate, measured_on
from fsat_tasks.quality.wording import PERCENT, interval
from fsat_tasks.targets.target import Judged, Rule, Target

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fsat_tasks.numerics.evidence.held_out import HeldOut
    from fsat_tasks.numerics.heads.answers import Answers
    from fsat_tasks.numerics.types import Array
    from fsat_tasks.targets.target import Outputs
    from fsat_tasks.tasks.spec import GateSpec

__all__ = ["SeveralLabelsTarget"]

EVEN = 0.5
"""Threshold of a probability at which a label is as likely there as not."""

NOTHING = "(none)"
"""Stands in the table of confusions for a label that was not given, or not there."""


@dataclass(frozen=True)
class SeveralLabelsTarget(Target):
    """One or more of several classes. A label's text has them in alphabetical order, with a separator between them."""

    name: ClassVar[str] = "several_labels"
    bounds: ClassVar[tuple[str, ...]] = ("min_micro_f1", "min_macro_f1", "min_class_recall", "max_ece")
    many: ClassVar[bool] = True
    rungs: ClassVar[tuple[str, ...]] = ("probe", "pool", "body", "body-pool")

    separator: str = "|"

    def convert(self, value: object, where: str) -> object:
        """Return the classes of a cell, each once. A cell is a list, or a text with separators.

        Raises:
            DataError: if the list is empty, or if a class is no text, is empty, or has the separator in it.
        """
        if value is None:
            return None
        if isinstance(value, str):
            if not value.strip():
                return None
            parts: list[object] = [part.strip() for part in value.split(self.separator)]
        elif isinstance(value, list):
            parts = value
        else:
            parts = [value]
        if not parts:
            fix = "A row that has none of the labels belongs in the out_of_scope file."
            raise DataError(where, "one label or more", "an empty list", fix)
        return self.separator.join(sorted({self._part(part, where) for part in parts}))

    def _part(self, part: object, where: str) -> str:
        if isinstance(part, int):
            part = json.dumps(part)  # as `read_cell` does
        if not isinstance(part, str):
            raise DataError(where, "labels that are text", f"{part!r} in a list")
        if not part.strip():
            raise DataError(where, "labels that are not empty", f"an empty label beside a {self.separator!r}")
        if self.separator in part:
            fix = "Choose another `separator` in task.yaml, or rename the label."
            raise DataError(where, f"labels without the separator {self.separator!r}", repr(part), fix)
        return part.strip()

    def parts(self, label: str) -> tuple[str, ...]:
        return tuple(label.split(self.separator)) if label else ()

    def answers(self, labels: Sequence[str], classes: Sequence[str]) -> Answers:
        from fsat_tasks.numerics.heads.several_labels import SeveralLabels

        return SeveralLabels(self._matrix(labels, classes))

    def rule(self, held_out: HeldOut, answers: Answers, classes: Sequence[str]) -> Rule:
        from fsat_tasks.numerics.evidence.thresholds import fit_thresholds
        from fsat_tasks.numerics.heads.several_labels import SeveralLabels

        assert isinstance(answers, SeveralLabels), "answers of this target"
        thresholds = fit_thresholds(answers.link.outputs(held_out.logits), answers.matrix)
        return Rule(list(classes), {}, [round(float(threshold), 6) for threshold in thresholds])

    def plain_rule(self, rule: Rule) -> Rule:
        return Rule(rule.labels, {}, [EVEN] * len(rule.labels))

    def decide(self, outputs: Outputs, rule: Rule) -> list[str]:
        """Return the labels whose probability reaches their threshold, as one text."""
        import numpy as np

        order = np.argsort(np.array(rule.labels, dtype=object))  # the order of the labels in a text
        given = outputs >= np.array(rule.thresholds)
        return [self.separator.join(rule.labels[i] for i in order if row[i]) for row in given]

    def confidence(self, outputs: Outputs, rule: Rule) -> Array:
        """Return the probability of the least sure decision: that a label is there, or that it is not."""
        import numpy as np

        given = outputs >= np.array(rule.thresholds)
        return np.asarray(np.where(given, outputs, 1.0 - outputs).min(axis=1), np.float64)

    def distance(self, label: str, predicted: str, classes: Sequence[str]) -> float:
        """Return the number of labels that are missing or too many."""
        return float(len(set(self.parts(label)) ^ set(self.parts(predicted))))

    def losses(self, labels: Sequence[str], outputs: Outputs, rule: Rule) -> Array:
        """Return the log-loss of each row, in nats: the sum over all labels."""
        import numpy as np

        from fsat_tasks.numerics.evidence.metrics import log_losses

        probabilities = np.asarray(outputs, np.float64)
        stated = np.where(self._matrix(labels, rule.labels) > 0, probabilities, 1.0 - probabilities)
        losses: Array = log_losses(stated).sum(axis=1)
        return losses

    def shares(self, outputs: Array) -> Array:
        """Return the probabilities as shares that sum to 1."""
        shares: Array = outputs / outputs.sum(axis=1, keepdims=True)
        return shares

    def columns(self, outputs: Outputs, rule: Rule) -> pa.Table:
        """Return label, the probability of its least sure decision, the labels as a list, and the probability of each.

        The margin is the distance of the nearest probability from its threshold.
        """
        import numpy as np
        import pyarrow as pa

        order = np.argsort(-outputs, axis=1, kind="stable")
        likeliest = np.take_along_axis(outputs, order, axis=1)
        given = np.take_along_axis(outputs >= np.array(rule.thresholds), order, axis=1)
        ends = pa.array(np.cumsum(np.append(0, given.sum(axis=1))), pa.int32())
        margin = np.abs(outputs - np.array(rule.thresholds)).min(axis=1)
        names = pa.array(rule.labels, pa.string())
        return pa.table(
            {
                "label": pa.array(self.decide(outputs, rule), pa.string()),
                "probability": pa.array(self.confidence(outputs, rule), pa.float32()),
                "margin": pa.array(margin, pa.float32()),
                "labels": pa.ListArray.from_arrays(ends, names.take(pa.array(order[given]))),
                "probabilities": pa.ListArray.from_arrays(ends, pa.array(likeliest[given], pa.float32())),
            }
        )

    def show(self, outputs: Outputs, rule: Rule) -> list[dict[str, Any]]:
        rows = self.columns(outputs, rule).to_pylist()
        return [{"label": row["labels"], "probability": [round(float(one), 4) for one in row["probabilities"]]} for row in rows]

    def measure(self, judged: Judged, rule: Rule, seed: int) -> dict[str, Any]:
        """Measure micro-F1 and macro-F1, the share of rows whose labels are all right, the weakest label and calibration."""
        import numpy as np

        from fsat_tasks.numerics.evidence.label_metrics import calibration_error, calibration_error_by_chance, score_labels

        probabilities = np.asarray(judged.outputs, np.float64)
        truth, given = (self._matrix(labels, rule.labels) for labels in (judged.labels, judged.predicted))
        scores = score_labels(truth, given)
        there = np.flatnonzero(truth.any(axis=0))
        weakest = int(there[np.argmin(scores.recall[there])])
        return {
            "micro_f1": scores.micro_f1,
            "macro_f1": scores.macro_f1,
            "min_class_recall": float(scores.recall[weakest]),
            "weakest_class": rule.labels[weakest],
            "ece": calibration_error(probabilities, truth),
            "ece_by_chance": calibration_error_by_chance(probabilities, seed),
            "log_loss": float(self.losses(judged.labels, probabilities, rule).mean()),
        }

    def gates(self, metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
        micro = GateDecision.at_least(
            "micro_f1",
            metrics["micro_f1"],
            bounds.min_micro_f1,
            PERCENT,
            lambda figure: f"On {measured_on(metrics)}, the score of all labels together (micro-F1) is {figure}",
            "micro-F1",
            f"; share of rows whose labels are all right {metrics['accuracy']:.4g} ({interval(metrics, 'accuracy')})",
        )
        return [micro, macro_f1_gate(metrics, bounds), class_recall_gate(metrics, bounds), calibration_gate(metrics, bounds)]

    def tables(self, judged: Judged, rule: Rule) -> dict[str, list[dict[str, Any]]]:
        """Return label-wise figures, labels taken for others, calibration of all probabilities, and coverage."""
        import numpy as np

        from fsat_tasks.numerics.evidence.calibration import reliability_bins
        from fsat_tasks.numerics.evidence.label_metrics import score_labels
        from fsat_tasks.numerics.evidence.metrics import coverage_curve

        truth, given = (self._matrix(labels, rule.labels) for labels in (judged.labels, judged.predicted))
        scores = score_labels(truth, given)
        figures = zip(rule.labels, truth.sum(axis=0), given.sum(axis=0), scores.precision, scores.recall, strict=True)
        probabilities = np.asarray(judged.outputs, np.float64)
        return {
            "labels": [
                {"label": label, "rows": int(rows), "given": int(count), "precision": float(p), "recall": float(r)}
                for label, rows, count, p, r in figures
            ],
            "confusion": [pair for pairs in map(self._pairs, judged.labels, judged.predicted) for pair in pairs],
            "reliability": reliability_bins(probabilities.ravel(), truth.ravel() > 0),
            "coverage": coverage_curve(self.confidence(judged.outputs, rule), judged.right),
        }

    def _pairs(self, label: str, predicted: str) -> list[dict[str, Any]]:
        """Return each label with the label that was given. Each missed label goes with each label that is too many."""
        truth, given = set(self.parts(label)), set(self.parts(predicted))
        missed, extra = sorted(truth - given) or [NOTHING], sorted(given - truth) or [NOTHING]
        wrong = [(one, other) for one in missed for other in extra if (one, other) != (NOTHING, NOTHING)]
        return [{"actual": one, "predicted": other} for one, other in [*((both, both) for both in sorted(truth & given)), *wrong]]

    def _matrix(self, labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
        """Return 1 for each class that a label names, and 0 elsewhere, (n, classes)."""
        import numpy as np

        number = {label: i for i, label in enumerate(classes)}
        matrix = np.zeros((len(labels), len(classes)), np.int64)
        for row, label in enumerate(labels):
            for part in self.parts(label):
                matrix[row, number[part]] = 1
        return matrix
