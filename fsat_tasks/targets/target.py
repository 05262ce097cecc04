"""Target: what the answer to a row is, from the label in a file to the columns of the predictions.

A label is text wherever rows are kept: in tables, in predictions and in the report. The target alone knows what the text means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from fsat_tasks.numerics.evidence.held_out import HeldOut
    from fsat_tasks.numerics.heads.answers import Answers
    from fsat_tasks.numerics.types import Array
    from fsat_tasks.quality.gates import GateDecision
    from fsat_tasks.tasks.spec import GateSpec

    Outputs = NDArray[np.floating[Any]]
    """Outputs of a model, such as probabilities, (n, outputs)."""

__all__ = ["COVERAGES", "SET_COVERAGE", "Evidence", "Judged", "Rule", "Target"]

Evidence = Literal["query", "leave_one_out"]
"""Kind of rows that figures are measured on: query rows, or samples that are left out one by one."""
COVERAGES = (0.8, 0.9, 0.95, 0.99)
"""Shares of rows whose set of labels, or interval of numbers, should have the true answer."""
SET_COVERAGE = "0.9"
"""Coverage of the sets of labels, or the intervals of numbers, that predictions have."""


@dataclass(frozen=True)
class Rule:
    """Rule by which a model's outputs become answers. It is kept with the head and with the exported model."""

    labels: list[str]
    """The classes, in the order of the outputs; empty for a number."""
    set_thresholds: dict[str, float]
    """Coverage -> threshold for sets of labels. A label is in the set if `1 - probability` is at most the threshold.

    For a number: coverage -> half the width of the interval. With too few samples, the threshold is infinite.
    """
    thresholds: list[float] = field(default_factory=list)
    """Several labels: the minimum probability of each label that is given."""
    tolerance: float = 0.0
    """Number: the maximum error that counts as right."""
    unit: float = 1.0
    """Number: the usual error."""

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON values. Infinity becomes text, which float() reads."""
        import math

        finite = {name: value if math.isfinite(value) else str(value) for name, value in self.set_thresholds.items()}
        return {
            **({"thresholds": self.thresholds} if self.thresholds else {}),
            **({} if self.labels else {"tolerance": self.tolerance, "unit": self.unit}),
            "labels": self.labels,
            "set_thresholds": finite,
        }

    @property
    def without_limit(self) -> str | None:
        """Sentence that the sets or intervals of predictions have no limit, and why; None if they have one."""
        import math

        from fsat_tasks.numerics.evidence.conformal import samples_needed

        if math.isfinite(self.set_thresholds.get(SET_COVERAGE, 0.0)):
            return None
        what = "Every set of labels is full" if self.labels else "Every interval is infinite"
        return f"{what}, because a coverage of {SET_COVERAGE} needs at least {samples_needed(float(SET_COVERAGE)):.0f} samples."

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Rule:
        """Read the rule from head.json or config.json."""
        sets = {coverage: float(value) for coverage, value in values["set_thresholds"].items()}
        numbers = {name: float(values[name]) for name in ("tolerance", "unit") if name in values}
        return cls(values["labels"], sets, values.get("thresholds", []), **numbers)


@dataclass(frozen=True)
class Judged:
    """Rows on which figures are measured, with the model's answers."""

    evidence: Evidence
    labels: list[str]
    """Label of each row."""
    outputs: Outputs  # (n, outputs)
    scope: Array  # (n,)
    predicted: list[str]
    errors: Array  # (n,), distance of each answer from the truth
    within: float
    """Maximum error of an answer that counts as right."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """Mask (n,) of the right answers."""
        right: NDArray[np.bool_] = self.errors <= self.within
        return right

    def figures(self, seed: int) -> dict[str, Any]:
        """Return the figures that all targets have: the number of rows, and the share of right answers with its 95 % interval.

        Args:
            seed: seed of the bootstrap.
        """
        from fsat_tasks.numerics.evidence.metrics import accuracy_interval

        low, high = accuracy_interval(self.right, seed)
        return {
            "rows": len(self.labels),
            "accuracy": float(self.right.mean()),
            "accuracy_low": low,
            "accuracy_high": high,
            "evidence": self.evidence,
        }


@dataclass(frozen=True)
class Target(ABC):
    """A kind of answer. A plug-in knows no other plug-in. Its fields are options of task.yaml."""

    name: ClassVar[str]
    """Value of `target` in task.yaml."""
    noun: ClassVar[str] = "class"
    """Word for what a label stands for."""
    ordered: ClassVar[bool] = False
    """True if the classes have an order."""
    bounds: ClassVar[tuple[str, ...]]
    """Bounds of the target's own gates, which a new task.yaml shows."""
    many: ClassVar[bool] = False
    """True if a row may have several of the classes."""
    least_samples: ClassVar[int] = 2
    """Minimum number of samples of the task."""
    rungs: ClassVar[tuple[str, ...]]
    """Rungs that may be tried, from the cheapest."""
    task_type: ClassVar[str] = "text-classification"
    """Name of the kind of task on the Hugging Face Hub, for the model card."""

    def settings(self) -> dict[str, Any]:
        """Return the name and the options of the target, for the keys of artefacts."""
        return {"name": self.name, **asdict(self)}

    # Reading.

    def convert(self, value: object, where: str) -> object:
        """Return a cell of the label column in the form that is kept, or unchanged if it is text already.

        Raises:
            DataError: if the cell is no answer of this kind. `where` names the file, the line and the column.
        """
        return value

    def find_problem(self, labels: Sequence[str]) -> tuple[str, str, str] | None:
        """Return what was expected, what came and what to do, if the labels of all samples together cannot be learnt."""
        return None

    def parts(self, label: str) -> tuple[str, ...]:
        """Return the classes that a label names; empty for a number."""
        return (label,)

    def order(self, labels: Iterable[str]) -> list[str]:
        """Return the classes of these labels, in their order; empty for numbers."""
        return sorted({part for label in labels for part in self.parts(label)})

    # Learning.

    @abstractmethod
    def answers(self, labels: Sequence[str], classes: Sequence[str]) -> Answers:
        """Return the labels in the form that heads learn from."""

    @abstractmethod
    def rule(self, held_out: HeldOut, answers: Answers, classes: Sequence[str]) -> Rule:
        """Choose how outputs become answers, by the outputs for samples that the model has not seen."""

    # Deciding.

    def within(self, rule: Rule) -> float:
        """Return the maximum distance of an answer that counts as right."""
        return 0.0

    def unnoticed(self, rule: Rule) -> float:
        """Return the maximum distance of two answers that count as the same."""
        return 0.0

    def scale(self, rule: Rule) -> float:
        """Return the unit in which differences of outputs are judged; 1 for probabilities."""
        return 1.0

    @abstractmethod
    def decide(self, outputs: Outputs, rule: Rule) -> list[str]:
        """Return the answer of each row as text; empty text if there is none. `outputs` has the shape (n, outputs)."""

    @abstractmethod
    def confidence(self, outputs: Outputs, rule: Rule) -> Array:
        """Return how sure each answer is, (n,); higher is surer."""

    @abstractmethod
    def distance(self, label: str, predicted: str, classes: Sequence[str]) -> float:
        """Return how far a prediction is from the label; 0 if it is the same."""

    def errors(self, labels: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Array:
        """Return the distance of each prediction from its label, (n,)."""
        import numpy as np

        return np.array([self.distance(label, guess, classes) for label, guess in zip(labels, predicted, strict=True)], float)

    @abstractmethod
    def losses(self, labels: Sequence[str], outputs: Outputs, rule: Rule) -> Array:
        """Return a proper score of the outputs for each row, (n,), lower is better. All labels must be known to the rule."""

    def plain_rule(self, rule: Rule) -> Rule:
        """Return the rule for outputs that no held-out samples were used to decide on, such as the baseline's."""
        return rule

    @abstractmethod
    def columns(self, outputs: Outputs, rule: Rule) -> pa.Table:
        """Return the columns that `fsat apply` writes about the answers. `label` and `margin` are among them.

        A row is put aside for review if its `label` is null or if its `probability`, where there is one, is too low.
        """

    @abstractmethod
    def show(self, outputs: Outputs, rule: Rule) -> list[dict[str, Any]]:
        """Return each answer as `fsat predict` prints it, in JSON values."""

    def shares(self, outputs: Array) -> Array | None:
        """Return the share of each class in each row's answer, (n, classes), for drift tests; None if there are no classes."""
        return outputs

    # Measuring.

    def judge(self, evidence: Evidence, labels: list[str], outputs: Outputs, scope: Array, rule: Rule) -> Judged:
        """Compare the outputs for rows with their labels.

        Args:
            evidence: kind of the rows.
            labels: label of each row.
            outputs: (n, outputs).
            scope: (n,), scope scores.
            rule: rule by which the outputs become answers.
        """
        predicted = self.decide(outputs, rule)
        errors = self.errors(labels, predicted, rule.labels)
        return Judged(evidence, labels, outputs, scope, predicted, errors, self.within(rule))

    @abstractmethod
    def measure(self, judged: Judged, rule: Rule, seed: int) -> dict[str, Any]:
        """Return the figures of metrics.json that `Judged.figures` does not have. `ece` is among them."""

    @abstractmethod
    def gates(self, metrics: Mapping[str, Any], bounds: GateSpec) -> list[GateDecision]:
        """Decide by the figures of `measure`."""

    @abstractmethod
    def tables(self, judged: Judged, rule: Rule) -> dict[str, list[dict[str, Any]]]:
        """Return name -> rows of the tables of which plots are drawn.

        `confusion`, `reliability` and `coverage` are among them, because dvc.yaml names their files.
        """
