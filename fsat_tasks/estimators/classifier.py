"""The library's scikit-learn classifier of texts. `fit` runs the tuning ladder."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from fsat_tasks.data.texts import read_texts
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.errors import DataError
from fsat_tasks.estimators.adaptation import Adaptation
from fsat_tasks.estimators.arguments import class_words, read_labels, read_settings, require_share
from fsat_tasks.numerics.evidence.conformal import conformal_threshold, lac_scores, prediction_sets
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.calibrated import Samples, fit_calibrated
from fsat_tasks.numerics.heads.sigmoids import fit_multilabel
from fsat_tasks.numerics.shift.transduction import adapt_to_target, hidden_shot_logits
from fsat_tasks.numerics.types import Array, Labels
from fsat_tasks.runtime.device import pick_device, tuning_device
from fsat_tasks.tuning.ladder import balance, run_ladder
from fsat_tasks.tuning.material import Material, Pool, Rows
from fsat_tasks.tuning.refit import refit_rung
from fsat_tasks.tuning.state import LadderSettings
from fsat_tasks.tuning.trial import Fit

__all__ = ["FewShotClassifier"]


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A calibrated text classifier, trained on a few labelled texts per class.

    Args:
        encoder: a bundled name, `org/model`, or a folder with a transformers model; see `load_encoder`.
        rungs: names of the tuning methods that may be used; by default all in `fsat_tasks.tuning.ladder.RUNGS`.
        budget_seconds: maximum planned time of fine-tuning; a rung that would take longer is skipped.
        body: how the encoder is fine-tuned: "full" for all weights, "lora" or "oft" for adapters.
        class_weight: "balanced" treats all classes as equally likely. By default, classes with more samples are likelier.
        coverage: share of the task's texts that should pass as in scope, 0 to 1; see `in_scope`.
        device: "auto", "cpu" or "cuda".
        seed: seed of every random draw; the same seed gives the same model on the same machine.

    Attributes:
        classes_: the labels, in the order of the columns of `predict_proba`.
        multilabel_: True if a text may have several labels, or none.
        trace_: one dict for each rung, in order, with the keys name, taken, reason, log_loss, accuracy, seconds and detail.
        fit_seconds_: seconds of "features", "head" and "total".
        scope_threshold_: minimum scope score of a text in scope. It exists only with one label per text.
        adaptation_: text that says what `adapt` accepted and why; None before `adapt`. It exists only with one label per text.
    """

    def __init__(
        self,
        encoder: str = "all-MiniLM-L6-v2",
        *,
        rungs: Sequence[str] | None = None,
        budget_seconds: float = 240.0,
        body: Literal["full", "lora", "oft"] = "full",
        class_weight: Literal["balanced"] | None = None,
        coverage: float = 0.95,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
    ) -> None:
        self.encoder = encoder
        self.rungs = rungs
        self.budget_seconds = budget_seconds
        self.body = body
        self.class_weight = class_weight
        self.coverage = coverage
        self.device = device
        self.seed = seed

    def fit(
        self,
        texts: Iterable[str],
        labels: Sequence[Any] | NDArray[Any],
        unlabelled: Iterable[str] | None = None,
        class_names: Mapping[Any, str] | None = None,
        out_of_scope: Iterable[str] | None = None,
    ) -> FewShotClassifier:
        """Tune on labelled texts.

        Args:
            texts: n texts.
            labels: n labels (text, numbers or booleans). If a text may have several labels or none, pass n collections of
                labels, or a 0/1 matrix (n, classes), whose classes are the column indices. In both cases there is only
                one kind of head, no rung is tried, and `unlabelled` and `out_of_scope` are not used.
            unlabelled: texts without labels, as they come in. They teach the model if held-out samples show that this helps.
            class_names: label -> the label's meaning in words; by default the label itself as words.
            out_of_scope: texts that belong to none of the classes. The scope score learns from them.

        Raises:
            DataError: if texts, labels or parameters cannot be used. The message names the row. The classifier is not changed.
        """
        started = time.perf_counter()
        settings = read_settings(self.get_params())
        texts, unlabelled, outside = (
            read_texts(() if part is None else part, where)
            for part, where in ((texts, "texts"), (unlabelled, "unlabelled"), (out_of_scope, "out_of_scope"))
        )
        classes, targets, several = read_labels(labels, len(texts))
        if len(classes) < 2:
            raise DataError("labels", "at least two classes", f"only {classes.tolist()}")
        names = class_words(classes.tolist(), class_names)
        encoder = self._load_encoder()
        source = encoder.source or find_encoder(self.encoder)
        shots, anchors, pool = (Rows(encoder.encode(part, "all"), encoder.tokens(part)) for part in (texts, names, unlabelled))
        extracted = time.perf_counter()
        if several:
            last = shots.features[:, -1].astype(np.float64), anchors.features[:, -1].astype(np.float64)
            with threadpool_limits(1):  # matrix products this small are slower on several threads
                self._multilabel = fit_multilabel(last[0], targets.astype(np.float64), last[1])
            figures = {"log_loss": self._multilabel.log_loss, "accuracy": None, "seconds": None, "detail": ""}
            reason = "A text may have several labels, so each class is judged alone."
            self.trace_ = [{"name": "sigmoids", "taken": True, "reason": reason, **figures}]
        else:
            material = Material(source, shots, targets, anchors, Pool(pool))
            fit = self._run_ladder(material, replace(settings, device=self._tuning_device()))
        self._source, self._encoder, self._outside = source, encoder, outside
        self._tuned_encoder: Any = None
        self.classes_, self.multilabel_ = classes, several
        if not several:
            self._pretrained = shots.features, anchors.features
            self._take_over(fit, targets)
        done = time.perf_counter()
        self.fit_seconds_ = {"features": extracted - started, "head": done - extracted, "total": done - started}
        return self

    def partial_fit(
        self,
        texts: Iterable[str],
        labels: Sequence[Any],
        classes: Sequence[Any] | None = None,
        class_names: Mapping[Any, str] | None = None,
    ) -> FewShotClassifier:
        """Add samples and fit the head again. Samples may be of new classes. The encoder and the settings stay as they are.

        Args:
            texts: n more texts.
            labels: n labels.
            classes: not used. It is there because scikit-learn's interface has it. New classes are found in the labels.
            class_names: label -> its meaning in words. If a label already has words, they are replaced.

        Raises:
            DataError: as in `fit`, and if texts have several labels.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(texts, labels, class_names=class_names)
        self._require_one_label("partial_fit")
        texts, known = read_texts(texts, "texts"), self.classes_
        fresh, targets, several = read_labels(labels, len(texts))
        if several or (fresh.dtype.kind == "U") != (known.dtype.kind == "U"):
            raise DataError("labels", f"labels such as {known[0]!r}", "collections" if several else repr(fresh[0]))
        united = np.unique(np.concatenate([known, fresh]))
        words = class_words(united.tolist(), class_names)
        at = np.searchsorted(united, known)
        names = np.empty((len(united), *self._fit.anchors.shape[1:]), np.float32)
        names[at] = self._fit.anchors
        changed = [i for i, label in enumerate(united.tolist()) if i not in set(at.tolist()) or label in (class_names or {})]
        new_words = [words[i] for i in changed]
        names[changed] = self._features(new_words)
        shots = np.concatenate([self._fit.shots, self._features(texts)])
        plain = np.empty_like(names)
        plain[at] = self._pretrained[1]
        plain[changed] = self._encoder.encode(new_words, "all")
        pretrained = np.concatenate([self._pretrained[0], self._encoder.encode(texts, "all")]), plain
        all_labels = np.concatenate([at[self._labels], np.searchsorted(united, fresh)[targets]])
        with threadpool_limits(1):  # matrix products this small are slower on several threads
            fit = refit_rung(self._fit, shots, all_labels, names)
            if self.class_weight == "balanced":
                fit = balance(fit, all_labels)
        self.classes_, self._pretrained = united, pretrained
        self._take_over(fit, all_labels)
        return self

    def predict(self, texts: Iterable[str]) -> NDArray[Any]:
        """Return the most probable label of each text, (n,). If texts have several labels, return a 0/1 matrix (n, classes)."""
        probabilities = self.predict_proba(texts)
        if self.multilabel_:
            return (probabilities >= 0.5).astype(np.int64)
        labels: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return labels

    def predict_proba(self, texts: Iterable[str]) -> Array:
        """Return calibrated probabilities, (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        texts = read_texts(texts, "texts")
        if self.multilabel_:
            probabilities: Array = expit(
                self._multilabel.head.logits(self._features(texts)[:, -1].astype(np.float64)) / self._multilabel.temperature
            )
            return probabilities
        return self._adaptation.probabilities(self._head.logits(self._features(texts)) / self._head.temperature, texts)

    def score(self, texts: Iterable[str], labels: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on n texts. With several labels per text, only exactly the right set is right."""
        check_is_fitted(self)
        if self.multilabel_ and getattr(labels, "ndim", 1) != 2:
            rows = zip(self.predict(texts), labels, strict=True)
            right = [set(self.classes_[answer == 1].tolist()) == set(wanted) for answer, wanted in rows]
            return float(np.average(right, weights=sample_weight))
        return float(super().score(texts, labels, sample_weight))

    def predict_sets(self, texts: Iterable[str], coverage: float = 0.9) -> NDArray[np.bool_]:
        """Return conformal sets, (n, classes). A text's set contains its true label with at least the probability `coverage`."""
        self._require_one_label("predict_sets")
        require_share(coverage, "coverage")
        held_out = lac_scores(softmax(self._fit.held_out.logits, axis=1))
        return prediction_sets(lac_scores(self.predict_proba(texts)), conformal_threshold(held_out, self._labels, coverage))

    def score_samples(self, texts: Iterable[str]) -> Array:
        """Return the scope score of each text, (n,). A text with a higher score looks more like the task's texts."""
        self._require_one_label("score_samples")
        return self._head.scope_scores(self._features(read_texts(texts, "texts")))

    def in_scope(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Return whether each text is in scope, (n,). About the share `coverage` of the task's texts is in scope."""
        return self.score_samples(texts) >= self.scope_threshold_

    def adapt(self, texts: Iterable[str]) -> FewShotClassifier:
        """Return a copy adapted to unlabelled texts: to their class shares, and to the texts that are similar to each text.

        Each of the two is accepted only if held-out samples show that it helps. `adaptation_` says what was accepted and why.
        The class shares apply to every text that the copy classifies. Similar texts apply only to the texts given here.
        """
        self._require_one_label("adapt")
        texts = read_texts(texts, "texts")
        adapted = copy.copy(self)
        if not len(texts):
            return adapted
        if self.class_weight == "balanced":
            adapted.adaptation_ = "not tried: class_weight holds all classes for equally likely"
            return adapted
        layers, setting, features = self._fit.layers, self._fit.setting, self._features(texts)
        # a fine-tuned encoder has seen all shots, so held-out shots would not look like new texts to it
        plain = features if self._fit.weights is None else self._encoder.encode(texts, "all")
        rows, shots, names = (mix_layers(part, layers) for part in (plain, *self._pretrained))
        hidden, folds = hidden_shot_logits(rows, shots, self._labels, names, setting)
        found = adapt_to_target(rows, self._head.logits(features) / self._head.temperature, shots, self._labels, hidden, folds)
        adapted._adaptation = Adaptation(found.bias, dict(zip(texts, found.probabilities, strict=True)) if found.refined else {})
        adapted.adaptation_ = found.reason
        return adapted

    def _load_encoder(self) -> Encoder:
        """Load the encoder. A subclass may return one that is already loaded."""
        return load_encoder(self.encoder, self.device)

    def _run_ladder(self, material: Material, settings: LadderSettings) -> Fit:
        """Run the ladder. A subclass may compare the rungs by a different rule."""
        return run_ladder(material, settings)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fit_seconds_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        tags.classifier_tags.multi_label = True
        return tags

    def _take_over(self, fit: Fit, labels: Labels) -> None:
        """Store the model from the ladder or from a refit, and fit its scope model."""
        self._fit, self._labels = fit, labels
        self.trace_ = [asdict(rung) for rung in fit.trace]
        self._adaptation = Adaptation(np.zeros(len(self.classes_)), {})
        self.adaptation_: str | None = None
        temperature = fit.held_out.temperature
        samples = Samples(fit.shots, labels, fit.anchors, fit.held_out.logits * temperature, fit.unseen)
        outside = self._features(self._outside) if self._outside else None
        self._head = fit_calibrated(fit.head, fit.layers, temperature, samples, self.coverage, outside)
        self.scope_threshold_ = self._head.scope_threshold

    def _features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return features (n, layers, dim) from the fine-tuned encoder or, if there is none, from the pretrained one."""
        weights = None if self.multilabel_ else self._fit.weights
        if weights is None or not texts:
            return self._encoder.encode(texts, "all")
        from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder

        if self._tuned_encoder is None:
            self._tuned_encoder = load_torch_encoder(self._source, self._tuning_device(), weights)
        return encode_rows(self._tuned_encoder, self._encoder.tokens(texts))

    def _tuning_device(self) -> Literal["cpu", "cuda"]:
        return tuning_device(pick_device(self.device))

    def _require_one_label(self, method: str) -> None:
        check_is_fitted(self)
        if self.multilabel_:
            raise DataError(method, "a classifier with one label a text", "one with several")
