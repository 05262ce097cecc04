"""The library face: a scikit-learn classifier of texts that climbs the tuning ladder when it is fitted."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils.validation import check_is_fitted

from fsat_tasks.body_rung import Material, Rows
from fsat_tasks.encoder import load_encoder, pick_device
from fsat_tasks.encoder_source import find_encoder
from fsat_tasks.errors import DataError
from fsat_tasks.ladder import RUNGS, Climb, LadderSettings, climb, fit_head
from fsat_tasks.numerics.conformal import conformal_threshold, lac_scores, prediction_sets
from fsat_tasks.numerics.evidence import judge
from fsat_tasks.numerics.frozen_head import mix_layers, refit_frozen_head
from fsat_tasks.numerics.multilabel import MultiLabelHead, fit_multilabel
from fsat_tasks.numerics.scope import coverage_threshold, fit_scope, scope_scores
from fsat_tasks.numerics.transduction import adapt_to_target, hidden_shot_logits

__all__ = ["FewShotClassifier"]

Array = NDArray[np.float64]


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A calibrated text classifier from a few labelled texts a class.

    Args:
        encoder: a bundled name, `org/model`, or a folder with a transformers model; see `load_encoder`.
        rungs: names of the ladder's rungs that may be taken (`fsat_tasks.ladder.RUNGS`); all by default.
        budget_seconds: planned time of body tuning, at most; the rung is left out where it would take longer.
        body: how the body is tuned: "full", or by adapters, "lora" or "oft".
        coverage: share of the texts of the task that should pass as in scope, 0 to 1; see `in_scope`.
        device: "auto", "cpu" or "cuda".
        seed: of all that is drawn; the same seed gives the same model on the same machine.

    Attributes:
        classes_: the labels, in the order of the columns of `predict_proba`.
        trace_: the rungs in order, as dicts: name, taken, reason, log_loss, accuracy, seconds.
        fit_seconds_: seconds of "features", "head" and "total".
        scope_threshold_: the score from which a text is taken for one of the task.
    """

    def __init__(
        self,
        encoder: str = "all-MiniLM-L6-v2",
        *,
        rungs: Sequence[str] | None = None,
        budget_seconds: float = 240.0,
        body: Literal["full", "lora", "oft"] = "full",
        coverage: float = 0.95,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
    ) -> None:
        self.encoder = encoder
        self.rungs = rungs
        self.budget_seconds = budget_seconds
        self.body = body
        self.coverage = coverage
        self.device = device
        self.seed = seed

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[Any] | NDArray[Any],
        unlabelled: Sequence[str] = (),
        class_names: Mapping[Any, str] | None = None,
        out_of_scope: Sequence[str] = (),
    ) -> FewShotClassifier:
        """Tune on labelled texts.

        Args:
            texts: n texts.
            labels: n labels; or, for texts with several labels or none, n collections of labels or a 0/1 matrix (n, classes).
            unlabelled: texts as they come in; they teach the model where held-out samples say that this helps.
            class_names: label -> what it means, in words; by default the label's own words.
            out_of_scope: texts that belong to none of the classes, for `score_samples`.

        Raises:
            DataError: for texts or labels that cannot be used; it names the row.
        """
        started = time.perf_counter()
        texts, unlabelled = _texts(texts, "texts"), _texts(() if unlabelled is None else unlabelled, "unlabelled")
        outside = _texts(out_of_scope, "out_of_scope")
        targets = self._read_labels(labels, len(texts))
        self._encoder = load_encoder(self.encoder, self.device)
        self._body: Any = None
        names = [(class_names or {}).get(label, _words(label)) for label in self.classes_.tolist()]
        shots, anchors, pool = self._rows(texts), self._rows(names), self._rows(unlabelled)
        self._outside = outside
        extracted = time.perf_counter()
        if self.multilabel_:
            self._fit_multilabel(shots, targets, anchors)
        else:
            material = Material(find_encoder(self.encoder), shots, targets, anchors, pool)
            settings = LadderSettings(RUNGS if self.rungs is None else tuple(self.rungs), self.budget_seconds, self.body)
            self._labels = targets
            self._stand_on(climb(material, settings, self.seed, pick_device(self.device)))
        done = time.perf_counter()
        self.fit_seconds_ = {"features": extracted - started, "head": done - extracted, "total": done - started}
        return self

    def partial_fit(
        self,
        texts: Sequence[str],
        labels: Sequence[Any],
        classes: Sequence[Any] | None = None,
        class_names: Mapping[Any, str] | None = None,
    ) -> FewShotClassifier:
        """Add samples, of new classes too, and fit the head again; the body and the settings stay as they are.

        Args:
            classes: taken for scikit-learn's sake; new classes are found in the labels.
            class_names: of the new classes.

        Raises:
            DataError: where the classifier has labels of the other kind, one label a text or several.
        """
        if not hasattr(self, "classes_"):
            return self.fit(texts, labels, class_names=class_names)
        if self.multilabel_:
            raise DataError("partial_fit", "a classifier with one label a text", "one with several", "Call fit with all texts.")
        texts = _texts(texts, "texts")
        fresh = _one_label(labels, len(texts))
        known = self.classes_
        self.classes_ = np.unique(np.concatenate([known, fresh]))
        added = [label for label in self.classes_.tolist() if label not in set(known.tolist())]
        names = np.empty((len(self.classes_), *self._climb.names.shape[1:]), np.float32)
        names[np.searchsorted(self.classes_, known)] = self._climb.names
        if added:
            words = [(class_names or {}).get(label, _words(label)) for label in added]
            names[np.searchsorted(self.classes_, added)] = self._features(words)
        shots = np.concatenate([self._climb.shots, self._features(texts)])
        self._labels = np.searchsorted(self.classes_, np.concatenate([known[self._labels], fresh]))
        held_out = judge(refit_frozen_head(shots, self._labels, names, self._climb.setting).held_out, self._labels)
        if self._climb.weights is not None:  # a tuned body has seen the samples: left out by the head alone they look too easy
            held_out = replace(held_out, temperature=self._climb.held_out.temperature)
        head = fit_head(shots, self._labels, names, self._climb.pool, self._climb.setting)
        layers = self._climb.setting.layers
        self._stand_on(replace(self._climb, head=head, layers=layers, held_out=held_out, shots=shots, names=names))
        return self

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The most probable label of each text, (n,); with several labels a text, a 0/1 matrix (n, classes)."""
        probabilities = self.predict_proba(texts)
        if self.multilabel_:
            return (probabilities >= 0.5).astype(np.int64)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def predict_proba(self, texts: Sequence[str]) -> Array:
        """Calibrated probabilities, (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        texts = _texts(texts, "texts")
        if self.multilabel_:
            probabilities: Array = expit(
                self._multilabel.head.logits(self._features(texts)[:, -1].astype(np.float64)) / self._multilabel.temperature
            )
            return probabilities
        adapted = self._adapted
        probabilities = softmax(self._logits(self._features(texts)) / self._temperature + adapted.bias, axis=1)
        for at, text in enumerate(texts):
            if text in adapted.rows:
                probabilities[at] = adapted.rows[text]
        return probabilities

    def predict_sets(self, texts: Sequence[str], coverage: float = 0.9) -> NDArray[np.bool_]:
        """Conformal sets: (n, classes), true for labels of which one is right with at least the probability `coverage`."""
        self._require_one_label("predict_sets")
        held_out = lac_scores(softmax(self._climb.held_out.logits, axis=1))
        return prediction_sets(lac_scores(self.predict_proba(texts)), conformal_threshold(held_out, self._labels, coverage))

    def score_samples(self, texts: Sequence[str]) -> Array:
        """How much each text looks like one of the task, (n,); higher is more."""
        self._require_one_label("score_samples")
        features = self._features(_texts(texts, "texts"))
        return scope_scores(self._scope, mix_layers(features, self._climb.layers), self._logits(features))

    def in_scope(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each text is one of the task: about the share `coverage` of the task's texts are."""
        return self.score_samples(texts) >= self.scope_threshold_

    def adapt(self, texts: Sequence[str]) -> FewShotClassifier:
        """A copy that has adapted to unlabelled texts as they come in: to their class shares, and to their neighbours.

        Each only where hidden samples say that it helps; `adaptation_` says what was accepted and why. The class shares
        count for every text, the neighbours for the texts that were given here.
        """
        self._require_one_label("adapt")
        texts = _texts(texts, "texts")
        adapted = copy.copy(self)
        if not len(texts):
            return adapted
        layers, setting = self._climb.layers, self._climb.setting
        features = self._features(texts)
        rows, shots, names = (mix_layers(part, layers) for part in (features, self._climb.shots, self._climb.names))
        hidden, folds = hidden_shot_logits(rows, shots, self._labels, names, setting)
        found = adapt_to_target(rows, self._logits(features) / self._temperature, shots, self._labels, hidden, folds)
        adapted._adapted = _Adapted(found.bias, dict(zip(texts, found.probabilities, strict=True)) if found.refined else {})
        adapted.adaptation_ = found.reason
        return adapted

    def _stand_on(self, reached: Climb) -> None:
        """Take over what the ladder reached."""
        self._climb = reached
        self.trace_ = [asdict(rung) for rung in reached.trace]
        self._temperature = reached.held_out.temperature
        self._adapted = _Adapted(np.zeros(len(self.classes_)), {})
        shots, names = mix_layers(reached.shots, reached.layers), mix_layers(reached.names, reached.layers)
        outside = mix_layers(self._features(self._outside), reached.layers) if self._outside else None
        raw = reached.held_out.logits * self._temperature
        self._scope = fit_scope(shots, self._labels, names, self._temperature, raw, outside)
        self.scope_threshold_ = coverage_threshold(self._scope.held_out, self.coverage)

    def _fit_multilabel(self, shots: Rows, targets: NDArray[np.int64], names: Rows) -> None:
        rows, anchors = shots.features[:, -1].astype(np.float64), names.features[:, -1].astype(np.float64)
        self._multilabel: MultiLabelHead = fit_multilabel(rows, targets.astype(np.float64), anchors)
        found = self._multilabel
        self.trace_ = [{"name": "sigmoids", "taken": True, "reason": "several labels a text", "log_loss": found.log_loss,
                        "accuracy": None, "seconds": None}]  # fmt: skip

    def _logits(self, features: NDArray[np.float32]) -> Array:
        """(n, layers, dim) to (n, classes), before the temperature."""
        return self._climb.head.logits(mix_layers(features, self._climb.layers))

    def _features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, layers, dim), by the tuned body where there is one."""
        weights = None if self.multilabel_ or not hasattr(self, "_climb") else self._climb.weights
        if weights is None or not texts:
            return self._encoder.encode(texts, "all")
        from fsat_tasks.body import encode_rows, load_body

        if self._body is None:
            self._body = load_body(find_encoder(self.encoder), pick_device(self.device), weights)
        return encode_rows(self._body, self._encoder.tokens(texts))

    def _rows(self, texts: Sequence[str]) -> Rows:
        return Rows(self._encoder.encode(texts, "all"), self._encoder.tokens(texts))

    def _read_labels(self, labels: Any, n: int) -> NDArray[np.int64]:
        """Sets `classes_` and `multilabel_`; gives (n,) positions, or a 0/1 matrix (n, classes)."""
        matrix = isinstance(labels, np.ndarray) and labels.ndim == 2
        collections = (
            not matrix and len(labels) > 0 and all(isinstance(label, list | tuple | set | frozenset) for label in labels)
        )
        self.multilabel_ = matrix or collections
        self.classes_: NDArray[Any]
        if not self.multilabel_:
            values = _one_label(labels, n)
            self.classes_, targets = np.unique(values, return_inverse=True)
            if len(self.classes_) < 2:
                raise DataError("labels", "at least two classes", f"only {self.classes_.tolist()}")
            return targets.astype(np.int64)
        if len(labels) != n:
            raise DataError("labels", f"as many as texts, {n}", str(len(labels)))
        if matrix:
            self.classes_ = np.arange(labels.shape[1])
            return np.asarray(labels != 0, np.int64)
        binarizer = MultiLabelBinarizer()
        found: NDArray[np.int64] = binarizer.fit_transform(labels).astype(np.int64)
        self.classes_ = binarizer.classes_
        return found

    def _require_one_label(self, method: str) -> None:
        check_is_fitted(self)
        if self.multilabel_:
            raise DataError(method, "a classifier with one label a text", "one with several")


@dataclass(frozen=True)
class _Adapted:
    """What `adapt` found."""

    bias: Array  # (classes,), added to the calibrated logits
    rows: dict[str, Array]  # text -> probabilities (classes,)


def _texts(texts: Iterable[Any], where: str) -> list[str]:
    if isinstance(texts, str):
        raise DataError(where, "a list of texts", "one text")
    rows = list(texts)
    for number, text in enumerate(rows, start=1):
        if not isinstance(text, str):
            raise DataError(f"{where}, row {number}", "a text", type(text).__name__)
    return rows


def _one_label(labels: Any, n: int) -> NDArray[Any]:
    values = np.asarray(labels)
    if values.shape != (n,):
        raise DataError("labels", f"one label for each of the {n} texts", f"labels of shape {values.shape}")
    missing = [at for at, label in enumerate(values.tolist(), start=1) if label is None or label != label]
    if missing:
        raise DataError(f"labels, row {missing[0]}", "a label", "none")
    return values


def _words(label: Any) -> str:
    """What a label says, in words."""
    return str(label).replace("_", " ").replace("-", " ")
