"""Estimators that can be kept: saved in a folder, loaded again, and exported as a model folder for ONNX Runtime."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from fsat_tasks.estimators.arguments import warn
from fsat_tasks.estimators.base import FewShotEstimator
from fsat_tasks.estimators.exporting import Exportable, export_model
from fsat_tasks.estimators.label_values import plain
from fsat_tasks.estimators.learnt import Learnt, LearntLabels, LearntNumbers
from fsat_tasks.estimators.opened import Opened
from fsat_tasks.estimators.saving import Saved, checked, read_saved, write_saved
from fsat_tasks.estimators.task_view import TaskView
from fsat_tasks.numerics.heads.answers import Answers

__all__ = ["KeptEstimator"]


class KeptEstimator(FewShotEstimator):
    """Methods that keep a fitted estimator."""

    def save(self, folder: str | Path) -> None:
        """Save the fitted estimator in a folder, as JSON and safetensors. It is written whole or not at all.

        The folder has the samples' texts in it. The pretrained encoder is not in it, but a fine-tuned one is.

        Args:
            folder: a new folder, or one that has an estimator which was saved before; this one is replaced.

        Raises:
            StoreError: if the folder cannot be written, or has other files in it.
        """
        check_is_fitted(self)
        if lost := self._lost_when_saved():
            warn(f"save: {lost}")
        learnt = Learnt.of(
            self._fit,
            self._head,
            revision=self._revision,
            texts=self._texts,
            outside=self._outside,
            answers=self._learnt_answers(),
            truncated=self.truncated_,
            seconds=self.fit_seconds_,
        )
        write_saved(Saved(self._saved_as(), self._saved_parameters(), learnt, self._fit.weights), Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load an estimator that `save` wrote. Nothing in the folder is run.

        It answers as it did before. `partial_fit` and `adapt` work too. The encoder is opened when it is first needed.

        Raises:
            DataError: if the folder has no such estimator, or if a file in it was changed.
        """
        saved = read_saved(Path(folder), cls._saved_as())
        with checked(Path(folder)):
            rungs = saved.parameters["rungs"]
            estimator = cls(**{**saved.parameters, "rungs": rungs and tuple(rungs)})
            estimator._restore(saved)
        return estimator

    def export(self, folder: str | Path) -> None:
        """Write the model folder that `fsat export` writes: ONNX graphs, tokenizer.json, config.json and a model card.

        ONNX Runtime and the package `tokenizers` then answer as this estimator does. The figures on the card are those of the
        samples, each left out of the fit. If a graph differs from the estimator by more than the bounds allow, a UserWarning
        says so.

        Args:
            folder: a new folder, or one with an earlier model folder, which is replaced. Its name is the name of the model.

        Raises:
            StoreError: if the folder cannot be written, or has other files in it.
            DataError: if the estimator is adapted to a batch of texts, which no graph can be.
        """
        check_is_fitted(self)
        self._require_exportable()
        source, view = self._source_of(self._encoder), self._task_view()
        model = Exportable(source, self._texts, view, self._fit, self._head, self._rung, int(self.seed))
        if not export_model(model, Path(folder)):
            warn(f"the graph in {folder} differs from the {type(self).__name__}: see gates.json there")

    def _lost_when_saved(self) -> str:
        """Return what a saved folder cannot keep, in words; empty if there is nothing."""
        return ""

    def _require_exportable(self) -> None:
        """Raise DataError if no graph can answer as the estimator does."""

    @classmethod
    @abstractmethod
    def _saved_as(cls) -> str:
        """Return the name of the estimator in files."""

    @abstractmethod
    def _task_view(self) -> TaskView:
        """Return the samples as those of a task."""

    @abstractmethod
    def _learnt_answers(self) -> LearntLabels | LearntNumbers:
        """Return the answers of the samples in the form in which they are saved."""

    @abstractmethod
    def _restore_answers(self, answers: LearntLabels | LearntNumbers) -> Answers:
        """Check saved answers, set what belongs to them, and return them in the form that heads learn from."""

    def _saved_parameters(self) -> dict[str, Any]:
        """Return the parameters as JSON values."""
        values = {name: plain(value) for name, value in self.get_params().items()}
        lists = {name: [plain(one) for one in values[name]] for name in ("rungs", "ordered") if _is_list(values.get(name))}
        return values | lists | {"encoder": str(self.encoder)}

    def _restore(self, saved: Saved) -> None:
        """Set everything that `fit` sets."""
        learnt = saved.learnt
        self._settings()
        self._opened, self._revision, self._outside = Opened(), learnt.revision, learnt.outside
        self._fit, self._head, self._texts = learnt.fit(saved.weights), learnt.calibrated(), learnt.texts
        self._answers = self._restore_answers(learnt.answers)
        learnt.require_consistent(self._answers)
        self.trace_ = [asdict(rung) for rung in learnt.trace]
        self.truncated_, self.scope_threshold_ = learnt.truncated, learnt.scope_threshold
        self.fit_seconds_ = learnt.seconds


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str)
