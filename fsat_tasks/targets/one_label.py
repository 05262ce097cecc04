"""Target `one_label`: each row has one of several classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fsat_tasks.errors import DataError
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.model_gates import accuracy_gate, calibration_gate, class_recall_gate, macro_f1_gate
from fsat_tasks.targets.reading import chances_of, class_numbers
from fsat_tasks.targets.target import COVERAGES, SET_COVERAGE, Judged, Rule, Target

if TYPE_CHECKING:
    import pyarrow as pa

    from fsat_tasks.numerics.evidence.held_out import HeldOut
    from fsat_tasks.numerics.heads.answers import Answers
    from fsat_tasks.numerics.types import Array
    from fsat_tasks.targets.target import Outputs
    from fsat_tasks.tasks.spec import GateSpec

__all__ = ["OneLabelTarget"]


@dataclass(frozen=True)
class OneLabelTarget(Target):
    """One of several classes."""

    name: ClassVar[str] = "one_label"
    bounds: ClassVar[tuple[str, ...]] = ("min_accuracy", "min_macro_f1", "min_class_recall", "max_ece")
    rungs: ClassVar[tuple[str, ...]] = ("prototypes", "probe", "pool", "body", "body-pool", "self-training")

    def convert(self, value: object, where: str) -> object:
        """Return the cell unchanged. Raises DataError if it is a list."""
        if isinstance(value, list):
            fix = "If rows have several labels, the target is several_labels."
            raise DataError(where, "one label", "a list of labels", fix)
        return value

    def answers(self, labels: Sequence[str], classes: Sequence[str]) -> Answers:
        from fsat_tasks.numerics.heads.one_label import OneLabel

        return OneLabel(class_numbers(labels, classes), len(classes))

    def rule(self, held_out: HeldOut, answers: Answers, classes: Sequence[str]) -> Rule:
        from scipy.special import softmax

        from fsat_tasks.numerics.evidence.conformal import conformal_threshold, lac_scores

        scores, labels = lac_scores(softmax(held_out.logits, axis=1)), answers.members()[1]
        return Rule(list(classes), {str(coverage): conformal_threshold(scores, labels, coverage) for coverage in COVERAGES})

    def decide(self, outputs: Outputs, rule: Rule) -> list[str]:
        return [rule.labels[i] for i in outputs.argmax(axis=1).tolist()]

    def confidence(self, outputs: Outputs, rule: Rule) -> Array:
        import numpy as np

        return np.asarray(outputs.max(axis=1), np.float64)

    def distance(self, label: str, predicted: str, classes: Sequence[str]) -> float:
        return float(label != predicted)

    def losses(self, labels: Sequence[str], outputs: Outputs, rule: Rule) -> Array:
        """Return the log-loss of each row, in nats."""
        from fsat_tasks.numerics.evidence.metrics import log_losses

        return log_losses(chances_of(outputs, class_numbers(labels, rule.labels)))

    def columns(self, outputs: Outputs, rule: Rule) -> pa.Table:
        """Return label, probability, margin to the second likeliest label, and the set of labels, the likeliest first."""
        import numpy as np
        import pyarrow as pa

        from fsat_tasks.numerics.evidence.conformal import lac_scores, prediction_sets

        names, order = pa.array(rule.labels, pa.string()), np.argsort(-outputs, axis=1, kind="stable")
        first, second = (np.take_along_axis(outputs, order[:, [rank]], axis=1)[:, 0] for rank in (0, 1))
        sets = prediction_sets(lac_scores(outputs.astype(np.float64)), rule.set_thresholds[SET_COVERAGE])
        sets = np.take_along_axis(sets, order, axis=1)  # likeliest first
        ends = np.cumsum(np.append(0, sets.sum(axis=1)))
        return pa.table(
            {
                "label": names.take(pa.array(order[:, 0])),
                "probability": pa.array(first, pa.float32()),
                "margin": pa.array(first - second, pa.float32()),
                "labels": pa.ListArray.from_arrays(pa.array(ends, pa.int32()), names.take(pa.array(order[sets]))),
            }
        )

    def show(self, outputs: Outputs, rule: Rule) -> list[dict[str, Any]]:
        best = outputs.argmax(axis=1).tolist()
        return [{"label": rule.labels[i], "probability": round(float(row[i]), 4)} for i, row in zip(best, outputs, strict=True)]

    def measure(self, judged: Judged, rule: Rule, seed: int) -> dict[str, Any]:
        """Measure macro-F1, the weakest class, the accuracy of a guess, calibration error and log-loss (nats).

        The guess is always the most frequent label of the rows.
        """
        import numpy as np

        from fsat_tasks.numerics.evidence.calibration import expected_calibration_error, expected_calibration_error_by_chance
        from fsat_tasks.numerics.evidence.metrics import confusion_matrix, macro_f1, recalls

        probabilities, confidence = judged.outputs, judged.outputs.max(axis=1)
        truth = class_numbers(judged.labels, rule.labels)
        confusion = confusion_matrix(truth, probabilities.argmax(axis=1), len(rule.labels))
        found = recalls(confusion)
        weakest = int(np.nanargmin(found))
        return {
            "macro_f1": macro_f1(confusion),
            "min_class_recall": float(found[weakest]),
            "weakest_class": rule.labels[weakest],
            "guess_accuracy": float(np.bincount(truth).max() / len(truth)),
            "ece": expected_calibration_error(confidence, judged.right),
            "ece_by_chance": expected_calibration_error_by_chance(confidence, seed),
            "log_loss": float(self.losses(judged.labels, probabilities, rule).mean()),
        }

    def gates(self, metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
        return [
            accuracy_gate(metrics, bounds),
            macro_f1_gate(metrics, bounds),
            class_recall_gate(metrics, bounds),
            calibration_gate(metrics, bounds),
        ]

    def tables(self, judged: Judged, rule: Rule) -> dict[str, list[dict[str, Any]]]:
        from fsat_tasks.numerics.evidence.calibration import reliability_bins
        from fsat_tasks.numerics.evidence.metrics import coverage_curve

        confidence = judged.outputs.max(axis=1)
        pairs = zip(judged.labels, judged.predicted, strict=True)
        return {
            "confusion": [{"actual": actual, "predicted": guess} for actual, guess in pairs],
            "reliability": reliability_bins(confidence, judged.right),
            "coverage": coverage_curve(confidence, judged.right),
        }
