"""Target `grade`: each row has one of several classes that have an order, such as one to five stars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from fsat_tasks.errors import DataError
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.model_gates import calibration_gate, error_ratio_gate
from fsat_tasks.targets.reading import chances_of, class_numbers, read_number, write_number
from fsat_tasks.targets.target import COVERAGES, SET_COVERAGE, Judged, Rule, Target

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fsat_tasks.numerics.evidence.held_out import HeldOut
    from fsat_tasks.numerics.heads.answers import Answers
    from fsat_tasks.numerics.types import Array
    from fsat_tasks.targets.target import Outputs
    from fsat_tasks.tasks.spec import GateSpec

__all__ = ["GradeTarget"]


@dataclass(frozen=True)
class GradeTarget(Target):
    """One of several grades. Grades that are numbers are in their order, all others in the order of `classes` in task.yaml."""

    name: ClassVar[str] = "grade"
    bounds: ClassVar[tuple[str, ...]] = ("max_error_ratio", "max_ece")
    ordered: ClassVar[bool] = True
    noun: ClassVar[str] = "grade"
    rungs: ClassVar[tuple[str, ...]] = ("probe", "body")

    classes: Mapping[str, str] = field(default_factory=dict)
    """Grade -> its meaning in words, from the lowest grade to the highest."""

    def convert(self, value: object, where: str) -> object:
        """Return a grade that is a number in its shortest form.

        Raises:
            DataError: if a grade is no number, and `classes` does not name it.
        """
        number = read_number(value)
        grade = value if number is None or value in self.classes else write_number(number)
        if grade is not None and str(grade).strip() and not self._has_place(str(grade)):
            fix = "Name all grades in `classes` of task.yaml, from the lowest to the highest."
            known = f", such as {next(iter(self.classes))!r}" if self.classes else ""
            raise DataError(where, f"a grade that is a number, or that `classes` names{known}", repr(grade), fix)
        return grade

    def _has_place(self, grade: str) -> bool:
        return grade in self.classes or _are_numbers([grade, *self.classes])

    def order(self, labels: Iterable[str]) -> list[str]:
        """Return the grades in the order of their numbers, or else in the order of `classes`."""
        found = sorted(set(labels))
        if _are_numbers(found):
            return sorted(found, key=float)
        return [grade for grade in self.classes if grade in found]

    def answers(self, labels: Sequence[str], classes: Sequence[str]) -> Answers:
        from fsat_tasks.numerics.heads.grades import Grades

        return Grades(class_numbers(labels, classes), len(classes))

    def rule(self, held_out: HeldOut, answers: Answers, classes: Sequence[str]) -> Rule:
        from fsat_tasks.numerics.evidence.conformal import conformal_threshold, lac_scores

        scores, grades = lac_scores(answers.link.outputs(held_out.logits)), answers.members()[1]
        return Rule(list(classes), {str(coverage): conformal_threshold(scores, grades, coverage) for coverage in COVERAGES})

    def decide(self, outputs: Outputs, rule: Rule) -> list[str]:
        """Return the median grade, which has the lowest expected distance from the true one."""
        return [rule.labels[i] for i in _decided(outputs).tolist()]

    def confidence(self, outputs: Outputs, rule: Rule) -> Array:
        import numpy as np

        at = np.arange(len(outputs))
        return np.asarray(outputs[at, _decided(outputs)], np.float64)

    def distance(self, label: str, predicted: str, classes: Sequence[str]) -> float:
        """Return the number of steps between two grades. A grade that is none of the classes is farther than all of them."""
        if label not in classes or predicted not in classes:
            return 0.0 if label == predicted else float(len(classes))
        return float(abs(classes.index(label) - classes.index(predicted)))

    def losses(self, labels: Sequence[str], outputs: Outputs, rule: Rule) -> Array:
        """Return the log-loss of each row, in nats."""
        from fsat_tasks.numerics.evidence.metrics import log_losses

        return log_losses(chances_of(outputs, class_numbers(labels, rule.labels)))

    def columns(self, outputs: Outputs, rule: Rule) -> pa.Table:
        """Return label, its probability, the mean grade, the margin to the second likeliest grade, and the set of grades."""
        import numpy as np
        import pyarrow as pa

        from fsat_tasks.numerics.evidence.conformal import lac_scores, prediction_sets
        from fsat_tasks.numerics.heads.grades import expected_grades

        p = np.asarray(outputs, np.float64)
        second, first = np.sort(p, axis=1)[:, -2:].T
        sets = prediction_sets(lac_scores(p), rule.set_thresholds[SET_COVERAGE])
        ends = pa.array(np.cumsum(np.append(0, sets.sum(axis=1))), pa.int32())
        grades = np.tile(np.array(rule.labels, dtype=object), (len(p), 1))
        return pa.table(
            {
                "label": pa.array(self.decide(outputs, rule), pa.string()),
                "probability": pa.array(self.confidence(outputs, rule), pa.float32()),
                "mean_grade": pa.array(_on_scale(expected_grades(p), rule.labels), pa.float32()),
                "margin": pa.array(first - second, pa.float32()),
                "labels": pa.ListArray.from_arrays(ends, pa.array(grades[sets], pa.string())),
            }
        )

    def show(self, outputs: Outputs, rule: Rule) -> list[dict[str, Any]]:
        rows = self.columns(outputs, rule).to_pylist()
        return [{name: _rounded(row[name]) for name in ("label", "probability", "mean_grade")} for row in rows]

    def measure(self, judged: Judged, rule: Rule, seed: int) -> dict[str, Any]:
        """Measure accuracy, mean absolute error in steps, rank agreement and calibration.

        `constant_mae` is the error of always answering the grade that is best for the rows.
        """
        import numpy as np

        from fsat_tasks.numerics.evidence.calibration import expected_calibration_error, expected_calibration_error_by_chance
        from fsat_tasks.numerics.evidence.metrics import confusion_matrix, macro_f1
        from fsat_tasks.numerics.evidence.ordinal_metrics import mean_error_interval, rank_agreement, weighted_kappa

        p, truth = np.asarray(judged.outputs, np.float64), class_numbers(judged.labels, rule.labels)
        decided, confidence = _decided(p), self.confidence(p, rule)
        confusion = confusion_matrix(truth, decided, len(rule.labels))
        low, high = mean_error_interval(judged.errors, seed)
        return {
            "mae": float(judged.errors.mean()),
            "mae_low": low,
            "mae_high": high,
            "constant_mae": float(np.abs(truth - np.median(truth)).mean()),
            "rank_agreement": rank_agreement(truth, decided),
            "weighted_kappa": weighted_kappa(confusion),
            "macro_f1": macro_f1(confusion),
            "ece": expected_calibration_error(confidence, judged.right),
            "ece_by_chance": expected_calibration_error_by_chance(confidence, seed),
            "log_loss": float(self.losses(judged.labels, p, rule).mean()),
        }

    def gates(self, metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
        error = error_ratio_gate(metrics, bounds, "steps", "the middle grade")
        return [error, calibration_gate(metrics, bounds)]

    def tables(self, judged: Judged, rule: Rule) -> dict[str, list[dict[str, Any]]]:
        from fsat_tasks.numerics.evidence.calibration import reliability_bins
        from fsat_tasks.numerics.evidence.metrics import coverage_curve

        confidence = self.confidence(judged.outputs, rule)
        pairs = zip(judged.labels, judged.predicted, strict=True)
        return {
            "confusion": [{"actual": actual, "predicted": guess} for actual, guess in pairs],
            "reliability": reliability_bins(confidence, judged.right),
            "coverage": coverage_curve(confidence, judged.right),
        }


def _are_numbers(grades: Iterable[str]) -> bool:
    return all(read_number(grade) is not None for grade in grades)


def _decided(outputs: Outputs) -> NDArray[np.int64]:
    from fsat_tasks.numerics.heads.grades import decide_grades

    return decide_grades(outputs.astype("f8"))


def _on_scale(places: Array, grades: Sequence[str]) -> Array:
    """Return places in the order of the grades as numbers on the grades' own scale, if they have one."""
    import numpy as np

    if not _are_numbers(grades):
        return places
    return np.asarray(np.interp(places, np.arange(len(grades)), [float(grade) for grade in grades]))


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
