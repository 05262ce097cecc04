"""Classifiers that can be looked into and kept: decisions, explanations, suspected labels, plots, and what is saved of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from fsat_tasks.errors import DataError
from fsat_tasks.estimators.adaptation import Adaptation
from fsat_tasks.estimators.explaining import Explanation, SimilarClass, SimilarSample, most_similar, read_question
from fsat_tasks.estimators.keeping import KeptEstimator
from fsat_tasks.estimators.label_values import is_plain
from fsat_tasks.estimators.labels import Labelled, read_order
from fsat_tasks.estimators.learnt import LearntLabels, LearntNumbers, SavedAdaptation
from fsat_tasks.estimators.plots import plot_calibration, plot_confusion
from fsat_tasks.estimators.suspects import Suspect, find_suspects
from fsat_tasks.estimators.task_view import TaskView, view_labels
from fsat_tasks.numerics.evidence.thresholds import fit_thresholds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.grades import Grades, decide_grades
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.numerics.types import Array, Features

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LabelledEstimator"]


class LabelledEstimator(KeptEstimator):
    """State of a fitted classifier, and methods that show what is behind its answers."""

    def explain(self, text: str, nearest: int = 5) -> Explanation:
        """Return what is behind the answer to a text: similar samples and classes, the margin and the scope score.

        Args:
            text: the text.
            nearest: maximum number of samples, and of classes, that are listed.

        Raises:
            DataError: if the text or the number cannot be used.
        """
        check_is_fitted(self)
        (rows, most), fit = read_question(text, nearest), self._fit
        features = self._features(rows)
        probabilities, scope = self._probabilities(rows, features)[0], float(self._head.scope_scores(features)[0])
        row, shots, names = (mix_layers(part, fit.layers) for part in (features, fit.shots, fit.anchors))
        words, classes = list(self._words.values()), self.classes_.tolist()
        ranked = np.sort(probabilities)
        return Explanation(
            text=text,
            label=self._label_of(self._decide(probabilities[None])[0]),
            probabilities={classes[j]: float(probabilities[j]) for j in (-probabilities).argsort(kind="stable").tolist()},
            margin=float(np.abs(probabilities - self.thresholds_).min() if self.multilabel_ else ranked[-1] - ranked[-2]),
            scope=scope,
            scope_threshold=self.scope_threshold_,
            samples=[
                SimilarSample(cosine, self._texts[i], self._label_of(self._labelled.rows[i]))
                for i, cosine in most_similar(row[0], shots, most)
            ],
            classes=[SimilarClass(cosine, words[j], classes[j]) for j, cosine in most_similar(row[0], names, most)],
        )

    def suspects(self) -> list[Suspect]:
        """Return the samples whose label is probably wrong, the surest first.

        Each sample is judged by a model that was fitted without it (confident learning). With several labels per text, each
        label that is probably missing or wrong is one entry. `pandas.DataFrame(classifier.suspects())` makes a table of them.
        """
        check_is_fitted(self)
        return find_suspects(self._texts, self._labelled, self._held_out_outputs())

    def plot_confusion(self) -> Figure:
        """Return a plot of how often each label was answered with each label, for samples that were left out of the fit."""
        pairs = self._tables()["confusion"]
        shown = {pair[name] for pair in pairs for name in ("actual", "predicted")}
        known = self._task_view().classes
        return plot_confusion(pairs, [*known, *sorted(shown - {*known})])

    def plot_calibration(self) -> Figure:
        """Return a plot of the share of right answers at each stated probability, for samples that were left out of the fit."""
        return plot_calibration(self._tables()["reliability"])

    # What `predict_proba` and `predict` return.

    def _probabilities(self, texts: Sequence[str], features: Features) -> Array:
        """Return calibrated probabilities, (n, classes), of texts with these features (n, all layers, dim)."""
        if self._adaptation is None:
            return self._head.outputs(features)
        return self._adaptation.probabilities(self._head.logits(features) / self._head.temperature, texts)

    def _decide(self, probabilities: Array) -> NDArray[Any]:
        """Return the label of each text, (n,), or a 0/1 matrix (n, classes)."""
        if self.multilabel_:
            return (probabilities >= self.thresholds_).astype(np.int64)
        is_grade = isinstance(self._answers, Grades)
        labels: NDArray[Any] = self.classes_[decide_grades(probabilities) if is_grade else probabilities.argmax(axis=1)]
        return labels

    def _label_of(self, row: Any) -> Any:
        """Return a row of the labels or of `_decide` as a label or, with several labels, as a list of labels."""
        if not self.multilabel_:
            return row
        return self.classes_[row == 1].tolist() if isinstance(row, np.ndarray) else list(row)

    # State.

    def _keep(self, labelled: Labelled, words: Mapping[Any, str]) -> None:
        """Store what belongs to the classes: the labels, their words, and how probabilities become labels."""
        self._labelled, self._words = labelled, words
        self.classes_, self.multilabel_ = labelled.classes, labelled.several
        self._adaptation: Adaptation | None = None
        self.adaptation_: str | None = None
        if isinstance(labelled.answers, SeveralLabels):
            self.thresholds_ = fit_thresholds(self._held_out_outputs(), labelled.answers.matrix)
        elif hasattr(self, "thresholds_"):
            del self.thresholds_  # of an earlier fit

    def _answers_of(self, method: str, *kinds: type[Any]) -> Any:
        """Return the answers of the samples. Raise DataError if the method does not work with answers of this kind."""
        check_is_fitted(self)
        if not isinstance(self._answers, kinds):
            got = "one with several" if self.multilabel_ else "one with grades"
            raise DataError(method, "a classifier with one label a text", got)
        return self._answers

    def _figures(self) -> dict[str, str]:
        held_out = self._fit.held_out
        return {
            "classes": f"{len(self.classes_):,}",
            "left-out accuracy": f"{100 * held_out.accuracy:.1f} %",
            "left-out log-loss": f"{held_out.log_loss:.3f}",
        }

    def _tables(self) -> dict[str, list[dict[str, Any]]]:
        """Return the tables of plots about the samples, each left out of the fit."""
        check_is_fitted(self)
        view, held_out = self._task_view(), self._fit.held_out
        return view.target.tables(view.judge(held_out, self._head.scope.held_out), view.rule(held_out))

    # What is saved and exported.

    @classmethod
    def _saved_as(cls) -> str:
        return "FewShotClassifier"

    def _lost_when_saved(self) -> str:
        kinds = sorted({type(label).__name__ for label in self.classes_.tolist() if not is_plain(label)})
        return f"labels of the type {', '.join(kinds)} will come back as plain text or numbers" if kinds else ""

    def _require_exportable(self) -> None:
        if self._adaptation is not None and self._adaptation.has_effect:
            fix = "Export the one that `adapt` was called on."
            raise DataError("export", "a classifier as it was fitted", "one that is adapted to a batch of texts", fix)

    def _task_view(self) -> TaskView:
        return view_labels(self._labelled, self._words)

    def _learnt_answers(self) -> LearntLabels:
        adaptation = None if self._adaptation is None else SavedAdaptation.of(self._adaptation)
        return LearntLabels.of(self._labelled, list(self._words.values()), adaptation, self.adaptation_)

    def _restore_answers(self, answers: LearntLabels | LearntNumbers) -> Answers:
        if not isinstance(answers, LearntLabels):
            raise ValueError("it has numbers, not labels")
        labelled = answers.labelled(read_order(self.ordered))
        self._answers = labelled.answers
        self._keep(labelled, dict(zip(labelled.values, answers.words, strict=True)))
        if answers.adaptation is not None:
            self._adaptation = answers.adaptation.adaptation()
        self.adaptation_ = answers.adaptation_reason
        return labelled.answers
