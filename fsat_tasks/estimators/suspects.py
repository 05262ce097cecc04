"""Samples whose label is probably wrong, by the rule of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fsat_tasks.estimators.labels import Labelled
from fsat_tasks.numerics.evidence.label_errors import suspected_label_errors, suspected_mistakes
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.numerics.types import Array

__all__ = ["Suspect", "find_suspects"]


@dataclass(frozen=True)
class Suspect:
    """A sample whose label is probably wrong."""

    position: int
    """Position among the samples, from 0."""
    text: str
    given: Any
    """The label that was given; with several labels per text, the list of them."""
    likelier: Any
    """The label that is likelier; with several labels, the list with one label more or less."""
    probability: float
    """Probability of what is likelier."""
    given_probability: float
    """Probability of what was given."""


def find_suspects(texts: Sequence[str], labelled: Labelled, probabilities: Array) -> list[Suspect]:
    """Return the suspected samples, the surest first.

    Args:
        texts: n samples.
        labelled: their labels.
        probabilities: (n, classes), calibrated, from models that have not seen the sample.
    """
    classes, answers = labelled.classes.tolist(), labelled.answers
    if isinstance(answers, SeveralLabels):
        found = []
        for one in suspected_mistakes(probabilities, answers.matrix):
            given, likelier = answers.matrix[one.row], answers.matrix[one.row].copy()
            likelier[one.column] = one.lacks
            before, after = ([classes[j] for j in row.nonzero()[0]] for row in (given, likelier))
            found.append(Suspect(one.row, texts[one.row], before, after, one.probability, 1.0 - one.probability))
        return found
    rows, likeliest = suspected_label_errors(probabilities, answers.labels)
    return [
        Suspect(i, texts[i], classes[given], classes[j], float(probabilities[i, j]), float(probabilities[i, given]))
        for i, j, given in zip(rows.tolist(), likeliest.tolist(), answers.labels[rows].tolist(), strict=True)
    ]
