"""The library's scikit-learn regressor of texts. `fit` runs the tuning ladder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from fsat_tasks.estimators.arguments import read_settings, read_share, warn_if_too_few
from fsat_tasks.estimators.base import Lesson
from fsat_tasks.estimators.explaining import NumberExplanation, SimilarSample, most_similar, read_question
from fsat_tasks.estimators.keeping import KeptEstimator
from fsat_tasks.estimators.learnt import LearntLabels, LearntNumbers
from fsat_tasks.estimators.numbers import read_numbers, require_spread
from fsat_tasks.estimators.plots import plot_predictions
from fsat_tasks.estimators.suspects import SuspectNumber, find_suspect_numbers
from fsat_tasks.estimators.task_view import TaskView, view_numbers
from fsat_tasks.inputs.cells import read_texts
from fsat_tasks.numerics.evidence.intervals import half_widths
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.numbers import Numbers, usual_tolerance
from fsat_tasks.numerics.types import Array
from fsat_tasks.targets.number import NumberTarget
from fsat_tasks.tuning.state import LadderSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FewShotRegressor"]

EXPLAINED = 0.9
"""Coverage of the interval of an explanation and of the plot."""


class FewShotRegressor(RegressorMixin, KeptEstimator):  # type: ignore[misc]
    """A regressor that gives each text a number, trained on a few texts with their numbers. `score` is R2.

    Args:
        encoder: a bundled name, `org/model`, or a folder with a transformers model; see `load_encoder`.
        rungs: names of the tuning methods that may be used, of "probe" and "body"; by default both.
        budget_seconds: maximum planned time of fine-tuning; a rung that would take longer is skipped.
        body: how the encoder is fine-tuned: "full" for all weights, "lora" or "oft" for adapters.
        coverage: share of the task's texts that should pass as in scope, 0 to 1; see `in_scope`.
        device: "auto", "cpu" or "cuda".
        seed: seed of every random draw; the same seed gives the same model on the same machine.
        verbose: whether `fit` shows its progress and says what each rung has brought, on standard error.

    Attributes:
        trace_: one dict for each rung, in order, with the keys name, taken, reason, log_loss, accuracy, seconds and detail.
            The accuracy is the share of numbers with an error of at most half a standard deviation of the samples' numbers.
        fit_seconds_: seconds of "features", "head" and "total".
        scope_threshold_: minimum scope score of a text in scope.
        truncated_: mask (n,) of the samples that are longer than the encoder reads.
    """

    def fit(
        self, texts: Iterable[str], numbers: Sequence[float] | NDArray[Any], out_of_scope: Iterable[str] | None = None
    ) -> Self:
        """Tune on texts with their numbers.

        Args:
            texts: n texts, at least five.
            numbers: n finite numbers, in any unit.
            out_of_scope: texts to which no number belongs. The scope score learns from them.

        Raises:
            DataError: if texts, numbers or parameters cannot be used. The message names the row. The regressor is not changed.
        """
        settings = self._settings()
        rows, outside = read_texts(texts, "texts"), read_texts(() if out_of_scope is None else out_of_scope, "out_of_scope")
        values = read_numbers(numbers, len(rows))
        require_spread(values, NumberTarget.least_samples)
        self._tune(Lesson(rows, _answers(values), NumberTarget.rungs, [], [], outside), settings)
        return self

    def partial_fit(self, texts: Iterable[str], numbers: Sequence[float] | NDArray[Any]) -> Self:
        """Add samples and fit the head again. The encoder and the settings stay as they are.

        Args:
            texts: n more texts. The first call is `fit`, and needs at least five.
            numbers: n finite numbers.

        Raises:
            DataError: as in `fit`.
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(texts, numbers)
        self._settings()
        rows = read_texts(texts, "texts")
        answers = _answers(np.concatenate([self._values(), read_numbers(numbers, len(rows))]))
        self._take_over(self._refitted(rows, answers, []), self._texts + rows, answers)
        return self

    def predict(self, texts: Iterable[str]) -> Array:
        """Return the number of each text, (n,), in the unit of the samples' numbers."""
        check_is_fitted(self)
        outputs: Array = self._head.outputs(self._features(read_texts(texts, "texts")))
        return outputs[:, 0]

    def predict_interval(self, texts: Iterable[str], coverage: float = 0.9) -> Array:
        """Return the ends of the interval around each number, (n, 2), lower and upper, in the unit of the samples' numbers.

        All intervals have the same width. It comes from the errors on samples that were left out (conformal prediction).

        Args:
            texts: n texts.
            coverage: share of texts whose interval has the true number, 0 to 1. If there are too few samples for it, the
                intervals are infinite, and a UserWarning says so. A coverage of 0.9 needs 9 samples.

        Raises:
            DataError: if a text or the coverage cannot be used.
        """
        numbers, coverage = self.predict(texts), read_share(coverage, "coverage")
        warn_if_too_few(coverage, len(self._texts), "every interval is infinite")
        half = self._half_width(coverage)
        return np.column_stack([numbers - half, numbers + half])

    def explain(self, text: str, nearest: int = 5) -> NumberExplanation:
        """Return what is behind the number of a text: similar samples with their numbers, the interval and the scope score.

        Args:
            text: the text.
            nearest: maximum number of samples that are listed.

        Raises:
            DataError: if the text or the number cannot be used.
        """
        check_is_fitted(self)
        (rows, most), values = read_question(text, nearest), self._values()
        features, half = self._features(rows), self._half_width(EXPLAINED)
        number = float(self._head.outputs(features)[0, 0])
        row, shots = (mix_layers(part, self._fit.layers) for part in (features, self._fit.shots))
        return NumberExplanation(
            text=text,
            number=number,
            interval=(number - half, number + half),
            scope=float(self._head.scope_scores(features)[0]),
            scope_threshold=self.scope_threshold_,
            samples=[SimilarSample(cosine, self._texts[i], float(values[i])) for i, cosine in most_similar(row[0], shots, most)],
        )

    def suspects(self) -> list[SuspectNumber]:
        """Return the samples whose number is probably wrong, the farthest from the predicted number first.

        Each sample is predicted by a model that was fitted without it. `pandas.DataFrame(regressor.suspects())` makes a table.
        """
        check_is_fitted(self)
        return find_suspect_numbers(self._texts, self._values(), self._held_out_outputs()[:, 0])

    def plot_predictions(self) -> Figure:
        """Return a plot of predicted numbers against the samples' numbers, for samples that were left out of the fit."""
        check_is_fitted(self)
        return plot_predictions(self._values(), self._held_out_outputs()[:, 0], self._half_width(EXPLAINED))

    def _half_width(self, coverage: float) -> float:
        """Return half the width of the interval around a number; infinity if there are too few samples."""
        return float(half_widths(self._held_out_outputs()[:, 0] - self._values(), [coverage])[0])

    def _settings(self) -> LadderSettings:
        return read_settings(self.get_params(), NumberTarget.rungs)

    def _figures(self) -> dict[str, str]:
        errors = self._held_out_outputs()[:, 0] - self._values()
        return {"left-out mean error": f"{np.abs(errors).mean():.3g}"}

    @classmethod
    def _saved_as(cls) -> str:
        return "FewShotRegressor"

    def _task_view(self) -> TaskView:
        return view_numbers(self._numbers())

    def _learnt_answers(self) -> LearntNumbers:
        return LearntNumbers(self._values())

    def _restore_answers(self, answers: LearntLabels | LearntNumbers) -> Numbers:
        if not isinstance(answers, LearntNumbers):
            raise ValueError("it has labels, not numbers")
        return _answers(read_numbers(answers.values, len(answers.values)))

    def _values(self) -> Array:
        """Return the numbers of the samples, (n,)."""
        return self._numbers().values

    def _numbers(self) -> Numbers:
        assert isinstance(self._answers, Numbers), "answers of this estimator"
        return self._answers


def _answers(values: Array) -> Numbers:
    return Numbers(values, usual_tolerance(values))
