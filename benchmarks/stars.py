"""Grades and numbers for the texts of a set with two classes, on which heads for grades and numbers are developed.

The grade and the number of a text are the mean answer of three classifiers on bags of words and characters. The classifiers have
not seen the text, and they know nothing of the encoder that the benchmark judges.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import read_rows

__all__ = ["GRADES", "StarSet", "draw_shots", "make_stars"]

GRADES = 5
FOLDS = 10
"""Number of folds. The classifiers that rate a fold's texts learn from all the other folds."""
NEAR = 1
"""Maximum difference between the grades that two classifiers give to a text that is kept."""


@dataclass(frozen=True)
class StarSet:
    """Texts with a grade and a number each."""

    texts: list[str]
    lines: NDArray[np.int64]  # (n,) line of each text in its file, from 0
    grades: NDArray[np.int64]  # (n,) in 0..GRADES-1
    numbers: NDArray[np.float64]  # (n,) in 0..100, mean probability of the positive class in per cent


def make_stars(path: Path, positive: str = "positive") -> StarSet:
    """Rate the texts of a file with two classes, and keep the texts on whose grades the classifiers agree.

    The mean probabilities are cut into GRADES equal quantiles. A text is dropped if two classifiers differ by more than NEAR
    grades. It is also dropped if its grade is above the middle and its label negative, or below the middle and its label
    positive.

    Args:
        path: JSON lines {"text", "label"}.
        positive: label of the class whose texts get high grades.
    """
    texts, labels = read_rows(path)
    good = np.array(labels) == positive
    views = _ratings(texts, good)  # (classifiers, n)
    mean = views.mean(axis=0)
    grades = _quantiles(mean)
    own = np.stack([_quantiles(view) for view in views])
    agreed = np.ptp(own, axis=0) <= NEAR
    middle = GRADES // 2
    signed = (grades == middle) | ((grades > middle) == good)
    lines = np.flatnonzero(agreed & signed)
    return StarSet([texts[line] for line in lines], lines, grades[lines], 100.0 * mean[lines])


def draw_shots(grades: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
    """Draw this number of rows of each grade, and return their indices."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.permutation(np.flatnonzero(grades == grade))[:shots] for grade in range(GRADES)])


def _ratings(texts: list[str], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the probability of the positive class by each classifier that has not seen the text, (classifiers, n)."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.naive_bayes import BernoulliNB
    from sklearn.pipeline import make_pipeline

    models = (
        make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=3.0, max_iter=1000)),
        make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=3),
            LogisticRegression(C=3.0, max_iter=1000),
        ),
        make_pipeline(CountVectorizer(binary=True), BernoulliNB()),
    )
    return np.stack([cross_val_predict(model, texts, good, cv=FOLDS, method="predict_proba")[:, 1] for model in models])


def _quantiles(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the quantile of each value, (n,) in 0..GRADES-1."""
    return np.argsort(np.argsort(values, kind="stable"), kind="stable") * GRADES // len(values)
