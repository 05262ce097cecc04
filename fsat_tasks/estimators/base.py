"""Base of the library's scikit-learn estimators of texts: tuning by the ladder, features and the scope score."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from fsat_tasks.encoders.cuts import say_cut
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import EncoderError
from fsat_tasks.estimators.arguments import warn, warn_if_too_few
from fsat_tasks.estimators.opened import Opened
from fsat_tasks.estimators.telling import as_html, as_sentence, telling
from fsat_tasks.inputs.cells import read_texts
from fsat_tasks.numerics.heads.answers import Answers
from fsat_tasks.numerics.heads.calibrated import Samples, fit_calibrated
from fsat_tasks.numerics.types import Array
from fsat_tasks.runtime.device import pick_device, tuning_device
from fsat_tasks.runtime.progress import show_progress
from fsat_tasks.tuning.ladder import LADDER, run_ladder
from fsat_tasks.tuning.material import Material, Pool, Rows
from fsat_tasks.tuning.refit import refit_rung
from fsat_tasks.tuning.state import LadderSettings, Rung
from fsat_tasks.tuning.trial import Fit

__all__ = ["FewShotEstimator", "Lesson"]


@dataclass(frozen=True)
class Lesson:
    """Texts and answers that an estimator is tuned on, after all checks."""

    texts: list[str]
    answers: Answers
    """Answers of the texts."""
    rungs: Sequence[str]
    """Names of the rungs that suit the answers, from the cheapest."""
    words: list[str]
    """The meaning of each class in words; empty for numbers."""
    unlabelled: list[str]
    outside: list[str]
    """Texts that are out of scope."""


class FewShotEstimator(BaseEstimator):  # type: ignore[misc]
    """Parameters and methods that classifier and regressor share."""

    def __init__(
        self,
        encoder: str | Path = "all-MiniLM-L6-v2",
        *,
        rungs: Sequence[str] | None = None,
        budget_seconds: float = 240.0,
        body: Literal["full", "lora", "oft"] = "full",
        coverage: float = 0.95,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        seed: int = 0,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.rungs = rungs
        self.budget_seconds = budget_seconds
        self.body = body
        self.coverage = coverage
        self.device = device
        self.seed = seed
        self.verbose = verbose

    def score_samples(self, texts: Iterable[str]) -> Array:
        """Return the scope score of each text, (n,). A text with a higher score looks more like the task's texts."""
        check_is_fitted(self)
        return self._head.scope_scores(self._features(read_texts(texts, "texts")))

    def in_scope(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Return whether each text is in scope, (n,). About the share `coverage` of the task's texts is in scope.

        If there are too few samples for the coverage, every text is in scope, and a UserWarning says so.
        """
        scores = self.score_samples(texts)
        if np.isneginf(self.scope_threshold_):
            warn_if_too_few(self.coverage, len(self._texts), "every text is in scope")
        return scores >= self.scope_threshold_

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        shown = str(super().__repr__(N_CHAR_MAX))
        return f"{shown}\n{as_sentence(self._reached())}" if self.__sklearn_is_fitted__() else shown

    def _html_repr(self) -> str:
        shown = str(super()._html_repr())
        return shown + as_html(self._reached()) if self.__sklearn_is_fitted__() else shown

    def _reached(self) -> dict[str, str]:
        """Return what `fit` has reached: the name of each figure, and its value in words."""
        return {
            "samples": f"{len(self._texts):,}",
            **self._figures(),
            "rung": self._rung,
            "seconds": f"{self.fit_seconds_['total']:.1f}",
        }

    @property
    def _rung(self) -> str:
        """Name of the last rung that was taken."""
        return [rung.name for rung in self._fit.trace if rung.taken][-1]

    @abstractmethod
    def _settings(self) -> LadderSettings:
        """Return the settings of the ladder. Raises DataError if a parameter cannot be used."""

    @abstractmethod
    def _figures(self) -> dict[str, str]:
        """Return the figures on samples that were left out, as `_reached` does."""

    def _load_encoder(self) -> Encoder:
        """Load the encoder. A subclass may return one that is already loaded."""
        return load_encoder(self.encoder, self.device)

    def _run_ladder(self, material: Material, settings: LadderSettings, ladder: Sequence[Rung]) -> Fit:
        """Run the ladder. A subclass may compare the rungs by a different rule."""
        return run_ladder(material, settings, ladder)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fit_seconds_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        return tags

    def _tune(self, lesson: Lesson, settings: LadderSettings) -> None:
        """Run the ladder and store its model. The estimator is not changed if this fails."""
        started = time.perf_counter()
        encoder = self._load_encoder()
        source = self._source_of(encoder)
        parts = {"texts": lesson.texts, "class_names": lesson.words, "unlabelled": lesson.unlabelled}
        ladder = [rung for rung in LADDER if rung.name in lesson.rungs]
        with telling(self.verbose):
            shots, anchors, pool = _read_parts(encoder, parts)
            extracted = time.perf_counter()
            material = Material(source, shots, lesson.answers, anchors, Pool(pool))
            fit = self._run_ladder(material, replace(settings, device=self._tuning_device()), ladder)
        self._opened, self._revision, self._outside = Opened(encoder), source.revision, lesson.outside
        self._take_over(fit, lesson.texts, lesson.answers)
        done = time.perf_counter()
        self.fit_seconds_ = {"features": extracted - started, "head": done - extracted, "total": done - started}

    def _refitted(self, texts: Sequence[str], answers: Answers, words: Sequence[str]) -> Fit:
        """Return the head fitted again on the samples so far and on more texts, with the answers of all of them."""
        shots = np.concatenate([self._fit.shots, self._features(texts)])
        anchors = self._features(words, "class_names")
        with threadpool_limits(1):  # matrix products this small are slower on several threads
            return refit_rung(self._fit, shots, answers, anchors)

    def _take_over(self, fit: Fit, texts: list[str], answers: Answers) -> None:
        """Store the model from the ladder or from a refit, with its samples, and fit its scope model."""
        self._fit, self._texts, self._answers = fit, texts, answers
        self.trace_ = [asdict(rung) for rung in fit.trace]
        self.truncated_ = self._encoder.cuts(self._encoder.prepare(texts))
        temperature = fit.held_out.temperature
        samples = Samples(fit.shots, answers, fit.anchors, fit.held_out.logits * temperature, fit.unseen)
        outside = self._features(self._outside, "out_of_scope") if self._outside else None
        with threadpool_limits(1):
            self._head = fit_calibrated(fit.head, fit.layers, temperature, samples, self.coverage, outside)
        self.scope_threshold_ = self._head.scope_threshold

    def _held_out_outputs(self) -> Array:
        """Return what the model states about each sample, (n, outputs), without having seen it."""
        held_out = self._fit.held_out
        return self._answers.link.outputs(held_out.logits, held_out.temperature)

    def _features(self, texts: Sequence[str], where: str = "texts") -> NDArray[np.float32]:
        """Return features (n, layers, dim) from the fine-tuned encoder or, if there is none, from the pretrained one.

        Args:
            texts: n texts. If the encoder does not read one of them to its end, a UserWarning says so.
            where: name of the texts in the warning.
        """
        prepared = _prepare(self._encoder, texts, where)
        weights = self._fit.weights
        if weights is None or not texts:
            return self._encoder.encode(texts, "all")
        from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder

        if self._opened.tuned is None:
            self._opened.tuned = load_torch_encoder(self._source_of(self._encoder), self._tuning_device(), weights)
        return encode_rows(self._opened.tuned, prepared)

    @property
    def _encoder(self) -> Encoder:
        """The pretrained encoder. A copy of the estimator opens it when it first needs it."""
        if self._opened.encoder is None:
            self._opened.encoder = self._load_same_encoder()
        return self._opened.encoder

    def _load_same_encoder(self) -> Encoder:
        """Load the encoder that the estimator was fitted with. Raises EncoderError if it is not there any more."""
        where, expected = f"encoder {str(self.encoder)!r}", f"the encoder with which this {type(self).__name__} was fitted"
        fix = "Put it back, or say where it is now: set_params(encoder=...)."
        try:
            encoder = self._load_encoder()
        except EncoderError as error:
            raise EncoderError(where, expected, "none that can be opened here", fix) from error
        if self._source_of(encoder).revision != self._revision:
            raise EncoderError(where, expected, "one with other files or settings", fix)
        return encoder

    def _source_of(self, encoder: Encoder) -> EncoderSource:
        return encoder.source or find_encoder(self.encoder)

    def _tuning_device(self) -> Literal["cpu", "cuda"]:
        return tuning_device(pick_device(self.device))


def _read_parts(encoder: Encoder, parts: Mapping[str, list[str]]) -> list[Rows]:
    """Return the rows of each part with their features. The names of the parts stand in warnings."""
    found, done = [], 0
    with show_progress("encode", sum(map(len, parts.values()))) as report:
        for where, texts in parts.items():
            features = encoder.encode(texts, "all", partial(_report_after, done, report))
            found.append(Rows(features, _prepare(encoder, texts, where)))
            done += len(texts)
    return found


def _report_after(before: int, report: Callable[[int], None], done: int) -> None:
    report(before + done)


def _prepare(encoder: Encoder, texts: Sequence[str], where: str) -> list[Prepared]:
    """Return the texts as the encoder reads them. If it does not read one to its end, warn."""
    prepared = encoder.prepare(texts)
    if cut := int(encoder.cuts(prepared).sum()):
        warn(f"{where}: {say_cut(cut, len(texts), 'text', encoder.limit)}")
    return prepared
