"""An estimator's samples in the notation of tasks: labels as text, and the target that reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.errors import DataError
from fsat_tasks.estimators.labels import Labelled
from fsat_tasks.numerics.evidence.held_out import HeldOut
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.grades import Grades
from fsat_tasks.numerics.heads.numbers import Numbers
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.numerics.types import Array
from fsat_tasks.targets.grade import GradeTarget
from fsat_tasks.targets.number import NumberTarget
from fsat_tasks.targets.one_label import OneLabelTarget
from fsat_tasks.targets.reading import write_number
from fsat_tasks.targets.several_labels import SeveralLabelsTarget
from fsat_tasks.targets.target import Judged, Rule, Target

__all__ = ["TaskView", "view_labels", "view_numbers"]

SEPARATORS = "|;,/~^\t"
"""Characters that may stand between several labels of a text."""


@dataclass(frozen=True)
class TaskView:
    """The samples of an estimator as those of a task."""

    target: Target
    classes: list[str]
    """The classes as text, in the order of the outputs; empty for numbers."""
    meanings: Mapping[str, str]
    """Class -> its meaning in words, for the classes that the user has named."""
    labels: list[str]
    """Label of each sample as text."""
    answers: Answers

    def rule(self, held_out: HeldOut) -> Rule:
        """Return the rule by which outputs become answers, from the outputs for samples that the model has not seen."""
        return self.target.rule(held_out, self.answers, self.classes)

    def judge(self, held_out: HeldOut, scope: Array) -> Judged:
        """Judge the samples, each answered by a model that was fitted without it.

        Args:
            held_out: evidence on the samples.
            scope: (n,), scope scores of the samples.
        """
        outputs = self.answers.link.outputs(held_out.logits, held_out.temperature)
        return self.target.judge("leave_one_out", self.labels, outputs, scope, self.rule(held_out))


def view_labels(labelled: Labelled, words: Mapping[Any, str]) -> TaskView:
    """Return samples with labels as those of a task.

    Labels that are no text are written as JSON, as fsat reads them from files.

    Args:
        labelled: labels of the samples.
        words: class -> its meaning in words.

    Raises:
        DataError: if labels have all characters in them that could stand between several labels.
    """
    values, answers = labelled.values, labelled.answers
    classes = [value if isinstance(value, str) else json.dumps(value) for value in values]
    own = name_classes(values, {})
    meanings = {name: words[value] for name, value in zip(classes, values, strict=True) if words[value] != own[value]}
    if isinstance(answers, SeveralLabels):
        several = SeveralLabelsTarget(_separator(classes))
        given = [several.separator.join(sorted(classes[j] for j in row.nonzero()[0])) for row in answers.matrix]
        return TaskView(several, classes, meanings, given, answers)
    single = [classes[i] for i in answers.labels.tolist()]
    if isinstance(answers, Grades):
        order = dict(zip(classes, words.values(), strict=True))
        return TaskView(GradeTarget(order), classes, meanings, single, answers)
    return TaskView(OneLabelTarget(), classes, meanings, single, answers)


def view_numbers(answers: Numbers) -> TaskView:
    """Return samples with numbers as those of a task."""
    return TaskView(NumberTarget(), [], {}, [write_number(value) for value in answers.values.tolist()], answers)


def _separator(classes: list[str]) -> str:
    for separator in SEPARATORS:
        if not any(separator in name for name in classes):
            return separator
    fix = "Rename a label."
    raise DataError("labels", "a character that no label has, to stand between several labels", f"none of {SEPARATORS!r}", fix)
