"""The library's scikit-learn classifier of texts. `fit` runs the tuning ladder."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fsat_tasks.errors import DataError
from fsat_tasks.estimators.adaptation import find_adaptation
from fsat_tasks.estimators.arguments import read_settings, read_share, warn, warn_if_too_few
from fsat_tasks.estimators.base import Lesson
from fsat_tasks.estimators.labelled import LabelledEstimator
from fsat_tasks.estimators.labels import (
    class_words,
    join_labels,
    read_labels,
    read_order,
    require_contrast,
    right_answers,
)
from fsat_tasks.inputs.cells import read_texts
from fsat_tasks.numerics.evidence.conformal import conformal_threshold, lac_scores, prediction_sets
from fsat_tasks.numerics.heads.grades import Grades
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.numerics.types import Array, Features
from fsat_tasks.targets.grade import GradeTarget
from fsat_tasks.targets.one_label import OneLabelTarget
from fsat_tasks.targets.several_labels import SeveralLabelsTarget
from fsat_tasks.tuning.ladder import RUNGS, balance
from fsat_tasks.tuning.state import LadderSettings

__all__ = ["FewShotClassifier"]

RUNGS_OF = {OneLabel: OneLabelTarget.rungs, SeveralLabels: SeveralLabelsTarget.rungs, Grades: GradeTarget.rungs}
"""Kind of answers -> names of the rungs that suit it."""


class FewShotClassifier(ClassifierMixin, LabelledEstimator):  # type: ignore[misc]
    """A calibrated text classifier, trained on a few labelled texts per class.

    Args:
        encoder: a bundled name, `org/model`, or a folder with a transformers model; see `load_encoder`.
        rungs: names of the tuning methods that may be used; by default all in `fsat_tasks.tuning.ladder.RUNGS`. With several
            labels per text or with grades, methods that need one label of a class without an order are left out, and a
            UserWarning names those of them that were passed here.
        budget_seconds: maximum planned time of fine-tuning; a rung that would take longer is skipped.
        body: how the encoder is fine-tuned: "full" for all weights, "lora" or "oft" for adapters.
        class_weight: "balanced" treats all classes as equally likely. By default, classes with more samples are likelier. It
            needs one label per text, without an order.
        coverage: share of the task's texts that should pass as in scope, 0 to 1; see `in_scope`.
        device: "auto", "cpu" or "cuda".
        seed: seed of every random draw; the same seed gives the same model on the same machine.
        ordered: True if the labels are grades and are numbers, such as stars; a list of the grades from the lowest to the
            highest if they are not numbers. A text then has one grade, and `predict` returns the median grade. A UserWarning
            names the grades of the list that no sample has; no text can get them.
        verbose: whether `fit` shows its progress and says what each rung has brought, on standard error.

    Attributes:
        classes_: the labels, in the order of the columns of `predict_proba`. Grades are in their order.
        multilabel_: True if a text may have several labels, or none.
        thresholds_: minimum probability of each label that `predict` gives, (classes,). It exists only with several labels.
        trace_: one dict for each rung, in order, with the keys name, taken, reason, log_loss, accuracy, seconds and detail.
        fit_seconds_: seconds of "features", "head" and "total".
        scope_threshold_: minimum scope score of a text in scope.
        truncated_: mask (n,) of the samples that are longer than the encoder reads.
        adaptation_: text that says what `adapt` accepted and why; None before `adapt`.
    """

    def __init__(
        self,
        encoder: str | Path = "all-MiniLM-L6-v2",
        *,
        rungs: Sequence[str] | None = None,
        budget_seconds: float = 240.0,
        body: Literal["full", "lora", "oft"] = "full",
        class_weight: Literal["balanced"] | None = None,
        coverage: float = 0.95,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
        ordered: Sequence[Any] | bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            encoder,
            rungs=rungs,
            budget_seconds=budget_seconds,
            body=body,
            coverage=coverage,
            device=device,
            seed=seed,
            verbose=verbose,
        )
        self.class_weight = class_weight
        self.ordered = ordered

    def fit(
        self,
        texts: Iterable[str],
        labels: Sequence[Any] | NDArray[Any],
        unlabelled: Iterable[str] | None = None,
        class_names: Mapping[Any, str] | None = None,
        out_of_scope: Iterable[str] | None = None,
    ) -> Self:
        """Tune on labelled texts.

        Args:
            texts: n texts.
            labels: n labels (text, numbers or booleans). If a text may have several labels or none, pass n collections of
                labels, or a 0/1 matrix (n, classes), whose classes are the column indices.
            unlabelled: texts without labels, as they come in. They teach the model if held-out samples show that this helps.
                Grades do not learn from them.
            class_names: label -> the label's meaning in words; by default the label itself as words.
            out_of_scope: texts that belong to none of the classes. The scope score learns from them.

        Raises:
            DataError: if texts, labels or parameters cannot be used. The message names the row. The classifier is not changed.
        """
        settings, order = self._settings(), read_order(self.ordered)
        rows, pool, outside = (
            read_texts(() if part is None else part, where)
            for part, where in ((texts, "texts"), (unlabelled, "unlabelled"), (out_of_scope, "out_of_scope"))
        )
        labelled = read_labels(labels, len(rows), order)
        require_contrast(labelled)
        if self.class_weight is not None and not isinstance(labelled.answers, OneLabel):
            raise DataError("class_weight", "none with several labels a text or with grades", repr(self.class_weight))
        words = class_words(labelled.values, class_names)
        rungs = RUNGS_OF[type(labelled.answers)]
        if missing := [grade for grade in order if grade not in labelled.values] if isinstance(order, list) else []:
            warn(f"ordered: no sample has these grades, so no text can get them: {_listed(missing)}")
        if unsuited := [rung for rung in settings.rungs or () if self.rungs is not None and rung not in rungs]:
            kind = "several labels a text" if labelled.several else "grades"
            warn(f"rungs: these cannot learn {kind}, so they are not tried: {_listed(unsuited)}")
        self._tune(Lesson(rows, labelled.answers, rungs, list(words.values()), pool, outside), settings)
        self._keep(labelled, words)
        return self

    def partial_fit(
        self,
        texts: Iterable[str],
        labels: Sequence[Any] | NDArray[Any],
        classes: Sequence[Any] | None = None,
        class_names: Mapping[Any, str] | None = None,
    ) -> Self:
        """Add samples and fit the head again. Samples may be of new classes. The encoder and the settings stay as they are.

        Args:
            texts: n more texts.
            labels: n labels, or n collections or a 0/1 matrix, as they were passed to `fit`.
            classes: not used. It is there because scikit-learn's interface has it. New classes are found in the labels.
            class_names: label -> its meaning in words. If a label already has words, they are replaced.

        Raises:
            DataError: as in `fit`, and if the labels are of another kind than those in `fit`.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(texts, labels, class_names=class_names)
        self._settings()
        rows, order = read_texts(texts, "texts"), read_order(self.ordered)
        labelled = join_labels(self._labelled, read_labels(labels, len(rows), order), order)
        answers, words = labelled.answers, class_words(labelled.values, class_names, self._words)
        fit = self._refitted(rows, answers, list(words.values()))
        if self.class_weight == "balanced" and isinstance(answers, OneLabel):
            fit = balance(fit, answers.labels)
        self._take_over(fit, self._texts + rows, answers)
        self._keep(labelled, words)
        return self

    def predict(self, texts: Iterable[str]) -> NDArray[Any]:
        """Return the most probable label of each text, (n,).

        Grades: return the median grade, which has the lowest expected distance from the true one. Several labels: return a 0/1
        matrix (n, classes), in which a label is given if its probability reaches its threshold in `thresholds_`.
        """
        return self._decide(self.predict_proba(texts))

    def predict_proba(self, texts: Iterable[str]) -> Array:
        """Return calibrated probabilities, (n, classes), in the order of `classes_`.

        The probabilities of a text sum to 1. With several labels, each label has a probability of its own.
        """
        check_is_fitted(self)
        rows = read_texts(texts, "texts")
        return self._probabilities(rows, self._features(rows))

    def score(self, texts: Iterable[str], labels: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on n texts. With several labels per text, only exactly the right set is right."""
        return float(np.average(right_answers(self.predict(texts), labels, self._labelled), weights=sample_weight))

    def predict_sets(self, texts: Iterable[str], coverage: float = 0.9) -> NDArray[np.bool_]:
        """Return conformal sets, (n, classes). A text's set contains its true label with at least the probability `coverage`.

        If there are too few samples for the coverage, every set has all labels, and a UserWarning says so.

        Raises:
            DataError: if texts have several labels, or if a text or the coverage cannot be used.
        """
        answers = self._answers_of("predict_sets", OneLabel, Grades)
        coverage = read_share(coverage, "coverage")
        warn_if_too_few(coverage, len(answers), "every set is full")
        held_out = lac_scores(self._held_out_outputs())
        return prediction_sets(lac_scores(self.predict_proba(texts)), conformal_threshold(held_out, answers.labels, coverage))

    def adapt(self, texts: Iterable[str]) -> Self:
        """Return a copy adapted to unlabelled texts: to their class shares, and to the texts that are similar to each text.

        Each of the two is accepted only if held-out samples show that it helps. `adaptation_` says what was accepted and why.
        The class shares apply to every text that the copy classifies. Similar texts apply only to the texts given here.

        Raises:
            DataError: if texts have several labels or grades, or if a text cannot be used.
        """
        answers = self._answers_of("adapt", OneLabel)
        rows = read_texts(texts, "texts")
        adapted = copy.copy(self)
        if not rows:
            return adapted
        if self.class_weight == "balanced":
            adapted.adaptation_ = "not tried: class_weight holds all classes for equally likely"
            return adapted
        features = self._features(rows)
        logits = self._head.logits(features) / self._head.temperature
        adapted._adaptation, adapted.adaptation_ = find_adaptation(
            rows, logits, self._pretrained(rows, features), answers, self._fit
        )
        return adapted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _settings(self) -> LadderSettings:
        return read_settings(self.get_params(), RUNGS)

    def _pretrained(self, texts: Sequence[str], features: Features) -> tuple[Features, Features, Features]:
        """Return features (n, layers, dim) of texts, samples and class anchors from the pretrained encoder.

        A fine-tuned encoder has seen all samples, so held-out samples would not look like new texts to it.

        Args:
            texts: n texts.
            features: (n, layers, dim), their features from the encoder that the head takes.
        """
        if self._fit.weights is None:
            return features, self._fit.shots, self._fit.anchors
        rows, shots, names = (self._encoder.encode(part, "all") for part in (texts, self._texts, list(self._words.values())))
        return rows, shots, names


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(map(repr, names))
