"""Peers for rows with several labels: scikit-learn's one-vs-rest logistic regressions, with and without a tuned threshold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from threadpoolctl import threadpool_limits

__all__ = ["LogisticRegressions", "fit_logistic_regressions", "tune_threshold"]

Array = NDArray[np.float64]
Features = NDArray[np.float32]
Matrix = NDArray[np.int64]

THRESHOLDS = np.linspace(0.01, 0.99, 99)
"""Thresholds to try."""


@dataclass(frozen=True)
class LogisticRegressions:
    """Logistic regressions of each label against the rest, and the C that cross-validation chose for each label."""

    model: OneVsRestClassifier
    chosen: Array  # (labels,)

    def probabilities(self, rows: Features) -> Array:
        """Return the probability of each label, (n, labels)."""
        return np.asarray(self.model.predict_proba(rows), np.float64)


def fit_logistic_regressions(rows: Features, labels: Matrix, scoring: str | None) -> LogisticRegressions:
    """Fit a logistic regression of each label against the rest. Each chooses its C by cross-validation in 5 folds.

    Args:
        rows: (n, dim).
        labels: (n, labels), of 0 and 1.
        scoring: what the cross-validation maximises; by default the accuracy, as in scikit-learn.
    """
    with threadpool_limits(1), warnings.catch_warnings():  # matrix products this small are slower on several threads
        warnings.simplefilter("ignore", (ConvergenceWarning, FutureWarning))
        model = OneVsRestClassifier(LogisticRegressionCV(scoring=scoring)).fit(rows, labels)
    chosen = [float(np.ravel(getattr(one, "C_", 1.0))[0]) for one in model.estimators_]
    return LogisticRegressions(model, np.array(chosen))


def tune_threshold(fitted: LogisticRegressions, rows: Features, labels: Matrix) -> float:
    """Return the threshold for all labels that has the best micro-F1 in 5-fold cross-validation, at the C of each label.

    Args:
        fitted: result of `fit_logistic_regressions` for the rows.
        rows: (n, dim).
        labels: (n, labels), of 0 and 1.
    """
    with threadpool_limits(1), warnings.catch_warnings():  # matrix products this small are slower on several threads
        warnings.simplefilter("ignore", (ConvergenceWarning, FutureWarning))
        held_out = [
            cross_val_predict(LogisticRegression(C=strength), rows, label, cv=5, method="predict_proba")[:, 1]
            for strength, label in zip(fitted.chosen, labels.T, strict=True)
        ]
    stated = np.stack(held_out, axis=1)  # (n, labels)
    scores = [f1_score(labels, stated >= threshold, average="micro", zero_division=0) for threshold in THRESHOLDS]
    return float(THRESHOLDS[int(np.argmax(scores))])
