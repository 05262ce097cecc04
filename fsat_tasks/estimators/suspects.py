"""Samples whose label is probably wrong, by the rule of the report, and samples whose number is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fsat_tasks.estimators.labels import Labelled
from fsat_tasks.numerics.evidence.label_errors import suspected_label_errors, suspected_mistakes, suspected_numbers
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.numerics.types import Array

__all__ = ["Suspect", "SuspectNumber", "find_suspect_numbers", "find_suspects"]


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


@dataclass(frozen=True)
class SuspectNumber:
    """A sample whose number is probably wrong."""

    position: int
    """Position among the samples, from 0."""
    text: str
    given: float
    """The number that was given."""
    likelier: float
    """The number that a model predicts that has not seen the sample."""
    score: float
    """Size of their difference, in standard deviations of such differences."""


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


def find_suspect_numbers(texts: Sequence[str], given: Array, predicted: Array) -> list[SuspectNumber]:
    """Return the samples whose number is far from the predicted one, the farthest first.

    Args:
        texts: n samples.
        given: (n,), their numbers.
        predicted: (n,), from models that have not seen the sample.
    """
    rows, scores = suspected_numbers(predicted - given)
    return [
        SuspectNumber(i, texts[i], float(given[i]), float(predicted[i]), score)
        for i, score in zip(rows.tolist(), scores.tolist(), strict=True)
    ]
