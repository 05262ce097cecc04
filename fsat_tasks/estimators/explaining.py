"""Explanation of an answer: the samples and classes that are similar to the text, how sure the answer is, and the scope score."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fsat_tasks.errors import DataError
from fsat_tasks.estimators.arguments import read_count
from fsat_tasks.estimators.label_values import plain
from fsat_tasks.inputs.cells import read_texts
from fsat_tasks.numerics.types import Array
from fsat_tasks.runtime.printable import printable

__all__ = ["Explanation", "NumberExplanation", "SimilarClass", "SimilarSample", "most_similar", "read_question"]

SHOWN = 3
"""Number of probabilities that are shown."""


class SimilarSample(NamedTuple):
    """A sample, and how similar it is to the text."""

    similarity: float
    """Cosine of the features that the head reads."""
    text: str
    label: Any
    """The label; the number, if samples have numbers."""


class SimilarClass(NamedTuple):
    """A class, and how similar its name in words is to the text."""

    similarity: float
    """Cosine of the features that the head reads."""
    words: str
    label: Any


@dataclass(frozen=True, repr=False)
class Explanation:
    """Reasons for the answer to a text."""

    text: str
    label: Any
    """The answer, as `predict` gives it; with several labels per text, the list of its labels."""
    probabilities: Mapping[Any, float]
    """Label -> probability, the likeliest first."""
    margin: float
    """Difference of the two highest probabilities; with several labels, the least distance of a probability from a threshold."""
    scope: float
    """Scope score, as `score_samples` gives it."""
    scope_threshold: float
    samples: Sequence[SimilarSample]
    """The most similar samples, the nearest first."""
    classes: Sequence[SimilarClass]
    """The classes whose names are most similar, the nearest first."""

    @property
    def in_scope(self) -> bool:
        """True if the text is in scope."""
        return self.scope >= self.scope_threshold

    def __repr__(self) -> str:
        likeliest = list(self.probabilities.items())[:SHOWN]
        return "\n".join(
            [
                f'"{_line(self.text, 50)}" is {_name(self.label)}',
                *(f"  {100 * probability:5.1f} %  {_name(label)}" for label, probability in likeliest),
                f"  margin {100 * self.margin:.1f} points",
                _scope_line(self.scope, self.scope_threshold),
                *_sample_lines(self.samples),
                "similar names of classes",
                *(f"  {one.similarity:5.2f}  {_name(one.label)}: {_line(one.words, 40)}" for one in self.classes),
            ]
        )


@dataclass(frozen=True, repr=False)
class NumberExplanation:
    """Reasons for the number of a text."""

    text: str
    number: float
    """The answer, as `predict` gives it."""
    interval: tuple[float, float]
    """Ends of the interval with a coverage of 0.9, as `predict_interval` gives it; infinite if there are too few samples."""
    scope: float
    """Scope score, as `score_samples` gives it."""
    scope_threshold: float
    samples: Sequence[SimilarSample]
    """The most similar samples with their numbers, the nearest first."""

    @property
    def in_scope(self) -> bool:
        """True if the text is in scope."""
        return self.scope >= self.scope_threshold

    def __repr__(self) -> str:
        low, high = self.interval
        limits = "no 90 % interval: too few samples" if math.isinf(low) else f"90 % interval {low:.4g} to {high:.4g}"
        return "\n".join(
            [
                f'"{_line(self.text, 50)}" is {self.number:.4g}',
                f"  {limits}",
                _scope_line(self.scope, self.scope_threshold),
                *_sample_lines(self.samples),
            ]
        )


def read_question(text: str, nearest: int) -> tuple[list[str], int]:
    """Return a text as a list of one, and the number of neighbours to list.

    Raises:
        DataError: if it is not one text, or not a number of neighbours.
    """
    if not isinstance(text, str):
        raise DataError("text", "one text", type(text).__name__)
    return read_texts([text], "text"), read_count(nearest, "nearest")


def most_similar(row: Array, others: Array, most: int) -> list[tuple[int, float]]:
    """Return the indices of the rows with the highest cosines to a row, and these cosines, the highest first.

    Args:
        row: (dim,), of unit length.
        others: (n, dim), of unit length.
        most: maximum number of rows.
    """
    cosines = others @ row
    return [(i, float(cosines[i])) for i in (-cosines).argsort(kind="stable")[:most].tolist()]


def _scope_line(scope: float, threshold: float) -> str:
    limit = "every text is" if math.isinf(threshold) else f"from {threshold:.2f} on"
    return f"  {'in' if scope >= threshold else 'out of'} scope: score {scope:.2f} ({limit})"


def _sample_lines(samples: Sequence[SimilarSample]) -> list[str]:
    lines = [f"  {one.similarity:5.2f}  {_name(one.label)}: {_line(one.text, 40)}" for one in samples]
    return ["similar samples", *lines]


def _name(label: Any) -> str:
    """Return a label, or a list of labels, as text."""
    if isinstance(label, list):
        return ", ".join(map(_name, label)) or "none of the labels"
    return _line(str(plain(label)), 25)


def _line(text: str, width: int) -> str:
    return textwrap.shorten(printable(text), width, placeholder=" ...")
