"""Target `number`: each row has a number, such as a price or a rating with a fraction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fsat_tasks.errors import DataError
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.model_gates import error_ratio_gate, intervals_gate
from fsat_tasks.targets.reading import read_number, write_number
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

__all__ = ["LARGEST", "NumberTarget"]

LARGEST = 1e30
"""Largest size of a number that float32 holds with room for sums."""
UNNOTICED = 0.05
"""Two predicted numbers count as the same if they differ by less than this share of the usual error."""
DIGITS = 6
"""Significant digits of a predicted number as text."""


@dataclass(frozen=True)
class NumberTarget(Target):
    """A number. A predicted number is right if it is within the tolerance."""

    name: ClassVar[str] = "number"
    bounds: ClassVar[tuple[str, ...]] = ("max_error_ratio", "max_ece")
    noun: ClassVar[str] = "number"
    least_samples: ClassVar[int] = 5
    rungs: ClassVar[tuple[str, ...]] = ("probe", "body")
    task_type: ClassVar[str] = "text-regression"

    tolerance: float | None = None

    def within(self, rule: Rule) -> float:
        return rule.tolerance

    def convert(self, value: object, where: str) -> object:
        """Return a number as text.

        Raises:
            DataError: if the cell is no number, or if it is too large for a graph in float32.
        """
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        number = read_number(value.strip() if isinstance(value, str) else value)
        if number is None or abs(number) > LARGEST:
            fix = "Write it without units or thousands separators, such as 1234.5. For classes, use another target."
            raise DataError(where, f"a number of at most {LARGEST:g} in size", repr(value), fix)
        return write_number(number)

    def find_problem(self, labels: Sequence[str]) -> tuple[str, str, str] | None:
        from fsat_tasks.numerics.heads.number_spread import spread_problem

        return spread_problem(_values(labels))

    def parts(self, label: str) -> tuple[str, ...]:
        return ()

    def order(self, labels: Iterable[str]) -> list[str]:
        return []

    def answers(self, labels: Sequence[str], classes: Sequence[str]) -> Answers:
        from fsat_tasks.numerics.heads.numbers import Numbers, usual_tolerance

        values = _values(labels)
        return Numbers(values, self.tolerance or usual_tolerance(values))

    def rule(self, held_out: HeldOut, answers: Answers, classes: Sequence[str]) -> Rule:
        from fsat_tasks.numerics.evidence.intervals import half_widths
        from fsat_tasks.numerics.heads.numbers import Numbers

        assert isinstance(answers, Numbers), "answers of this target"
        residuals = answers.link.outputs(held_out.logits, held_out.temperature)[:, 0] - answers.values
        widths = half_widths(residuals, COVERAGES)
        intervals = {str(coverage): float(width) for coverage, width in zip(COVERAGES, widths, strict=True)}
        return Rule([], intervals, tolerance=answers.tolerance, unit=held_out.temperature)

    def unnoticed(self, rule: Rule) -> float:
        return UNNOTICED * rule.unit

    def scale(self, rule: Rule) -> float:
        """Return the usual error of a number."""
        return rule.unit

    def decide(self, outputs: Outputs, rule: Rule) -> list[str]:
        return [f"{value:.{DIGITS}g}" for value in outputs[:, 0].tolist()]

    def confidence(self, outputs: Outputs, rule: Rule) -> Array:
        """Return the share of numbers that should be within the tolerance, which is the same for all rows."""
        import numpy as np
        from scipy.stats import norm

        return np.full(len(outputs), 2.0 * float(norm.cdf(rule.tolerance / rule.unit)) - 1.0)

    def distance(self, label: str, predicted: str, classes: Sequence[str]) -> float:
        return abs(float(label) - float(predicted))

    def losses(self, labels: Sequence[str], outputs: Outputs, rule: Rule) -> Array:
        """Return the squared error of each row, in the square of the numbers' unit."""
        errors: Array = outputs[:, 0].astype("f8") - _values(labels)
        return errors**2

    def columns(self, outputs: Outputs, rule: Rule) -> pa.Table:
        """Return label, the number, and the interval that has the true number with a probability of 90 %."""
        import numpy as np
        import pyarrow as pa

        numbers, width = np.asarray(outputs[:, 0], np.float64), rule.set_thresholds[SET_COVERAGE]
        return pa.table(
            {
                "label": pa.array(self.decide(outputs, rule), pa.string()),
                "number": pa.array(numbers),
                "low": pa.array(numbers - width),
                "high": pa.array(numbers + width),
                "margin": pa.array(np.zeros(len(numbers)), pa.float32()),
            }
        )

    def show(self, outputs: Outputs, rule: Rule) -> list[dict[str, Any]]:
        rows = self.columns(outputs, rule).to_pylist()
        return [{name: float(f"{row[name]:.{DIGITS}g}") for name in ("number", "low", "high")} for row in rows]

    def shares(self, outputs: Array) -> None:
        return None

    def measure(self, judged: Judged, rule: Rule, seed: int) -> dict[str, Any]:
        """Measure the mean absolute error, rank agreement, and how many intervals have the true number.

        `constant_mae` is the error of always answering the mean. `ece` is the mean difference between the stated coverage of the
        intervals and the share of them that has the true number.
        """
        import numpy as np

        from fsat_tasks.numerics.evidence.intervals import errors_of_the_mean, share_within
        from fsat_tasks.numerics.evidence.metrics import accuracy_interval
        from fsat_tasks.numerics.evidence.ordinal_metrics import mean_error_interval, rank_agreement

        truth, found = _values(judged.labels), _values(judged.predicted)
        low, high = mean_error_interval(judged.errors, seed)
        inside = share_within(judged.errors, np.array(list(rule.set_thresholds.values())))
        coverage_low, coverage_high = accuracy_interval(judged.errors <= rule.set_thresholds[SET_COVERAGE], seed)
        return {
            "tolerance": rule.tolerance,
            "mae": float(judged.errors.mean()),
            "mae_low": low,
            "mae_high": high,
            "constant_mae": float(errors_of_the_mean(truth).mean()),
            "rank_agreement": rank_agreement(truth, found),
            "intervals": {name: float(share) for name, share in zip(rule.set_thresholds, inside, strict=True)},
            "interval_coverage": float(inside[list(rule.set_thresholds).index(SET_COVERAGE)]),
            "interval_coverage_low": coverage_low,
            "interval_coverage_high": coverage_high,
            "ece": float(np.abs(inside - np.array(COVERAGES)).mean()),
        }

    def gates(self, metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
        return [error_ratio_gate(metrics, bounds, "", "the mean"), intervals_gate(metrics, float(SET_COVERAGE), bounds)]

    def tables(self, judged: Judged, rule: Rule) -> dict[str, list[dict[str, Any]]]:
        """Return each number with its prediction, the fifths that they are in, and the share of right intervals.

        All numbers are equally sure, so coverage has only one row.
        """
        import numpy as np

        from fsat_tasks.numerics.evidence.intervals import share_within

        truth, found = _values(judged.labels), _values(judged.predicted)
        fifths, names = _fifths(truth)
        inside = share_within(judged.errors, np.array(list(rule.set_thresholds.values())))
        shares = zip(COVERAGES, inside.tolist(), strict=True)
        return {
            "numbers": [{"actual": one, "predicted": other} for one, other in zip(truth.tolist(), found.tolist(), strict=True)],
            "confusion": [
                {"actual": names[one], "predicted": names[other]}
                for one, other in zip(np.digitize(truth, fifths), np.digitize(found, fifths), strict=True)
            ],
            "reliability": [{"rows": len(truth), "confidence": stated, "accuracy": share} for stated, share in shares],
            "coverage": [{"coverage": 1.0, "accuracy": float(judged.right.mean())}],
        }


def _fifths(values: Array) -> tuple[Array, list[str]]:
    """Return the borders between five groups of about as many values each, and the names of the groups."""
    import numpy as np

    borders = np.unique(np.quantile(values, (0.2, 0.4, 0.6, 0.8)))
    low, high = [values.min(), *borders], [*borders, values.max()]
    return borders, [f"{one:.3g} to {other:.3g}" for one, other in zip(low, high, strict=True)]


def _values(labels: Sequence[str]) -> NDArray[np.float64]:
    """Return the numbers of labels, (n,)."""
    import numpy as np

    return np.array([float(label) for label in labels], np.float64)
