"""Parts of the report that depend on the task's target: the figures at the top, and the sections about answers.

VIEWS has an entry for each target. All other modules of the report treat all targets alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fsat_tasks.report.mistakes import class_figures, confusions, grade_confusions, label_mistakes, largest_errors
from fsat_tasks.report.number_plots import interval_rows, scatter_plot
from fsat_tasks.report.plots import calibration_plot, coverage_plot
from fsat_tasks.report.suspects import label_errors, several_label_errors
from fsat_tasks.report.tables import read_figures
from fsat_tasks.targets.target import Rule, Target

__all__ = ["VIEWS", "Answered", "Figure", "View"]


class Figure(NamedTuple):
    """A figure at the top of the page."""

    title: str
    value: str
    note: str


@dataclass(frozen=True)
class Answered:
    """Rows with the model's answers, and the files that the step `evaluate` wrote about them."""

    rows: Sequence[dict[str, Any]]
    """Rows that the figures were measured on, each with line, text, label, predicted and probability."""
    samples: Sequence[dict[str, Any]]
    """Rows of `sample_rows`."""
    target: Target
    rule: Rule
    metrics: Mapping[str, Any]
    folder: Path

    @property
    def shots(self) -> Counter[str]:
        """Class -> number of samples that have it."""
        return Counter(part for row in self.samples for part in self.target.parts(row["label"]))


@dataclass(frozen=True)
class View:
    """Parts of the page that show one kind of answer."""

    figures: Callable[[Mapping[str, Any]], list[Figure]]
    """Function that returns the figures at the top, from metrics.json."""
    sections: Callable[[Answered], dict[str, Any]]
    """Function that returns section -> content. The page has no other section that depends on the target."""
    coloured: bool
    """True if a row has one class, so that the feature map can have a colour for each class."""
    suspects: Callable[[Sequence[dict[str, Any]], list[str], Target], dict[str, Any]] | None = None
    """Function that finds the samples whose label is probably wrong, from the samples and the classes; None without classes."""


def _one_label_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    return [
        _accuracy("right labels", metrics),
        Figure("every class alike", _percent(metrics["macro_f1"]), "macro-F1, in which small classes count like large ones"),
        _calibration(metrics),
    ]


def _several_labels_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    return [
        Figure("labels together", _percent(metrics["micro_f1"]), "micro-F1, in which each label of each row counts"),
        Figure("every label alike", _percent(metrics["macro_f1"]), "macro-F1, in which rare labels count like frequent ones"),
        _accuracy("all labels right", metrics),
        _calibration(metrics),
    ]


def _grade_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    return [
        _error("steps; ", metrics, "the middle grade"),
        _accuracy("right grades", metrics),
        _order(metrics),
        _calibration(metrics),
    ]


def _number_figures(metrics: Mapping[str, Any]) -> list[Figure]:
    low, high = metrics["interval_coverage_low"], metrics["interval_coverage_high"]
    return [
        _error("", metrics, "the mean"),
        _accuracy(f"within {metrics['tolerance']:.3g} of the truth", metrics),
        _order(metrics),
        Figure("90 % intervals that hold", _percent(metrics["interval_coverage"]), f"95 % interval {_between(low, high)}"),
    ]


def _accuracy(title: str, metrics: Mapping[str, Any]) -> Figure:
    interval = _between(metrics["accuracy_low"], metrics["accuracy_high"])
    return Figure(title, _percent(metrics["accuracy"]), f"accuracy; 95 % interval {interval}")


def _calibration(metrics: Mapping[str, Any]) -> Figure:
    off, chance = 100 * metrics["ece"], 100 * metrics["ece_by_chance"]
    return Figure("probabilities off by", f"{off:.1f}", f"points on average; {chance:.1f} would be chance")


def _error(unit: str, metrics: Mapping[str, Any], constant: str) -> Figure:
    interval = f"95 % interval {metrics['mae_low']:.3g} to {metrics['mae_high']:.3g}"
    other = f"{constant} for every row would be off by {metrics['constant_mae']:.3g}"
    return Figure("off by, on average", f"{metrics['mae']:.3g}", f"{unit}{interval}; {other}")


def _order(metrics: Mapping[str, Any]) -> Figure:
    return Figure("order kept", f"{metrics['rank_agreement']:.2f}", "rank agreement; 1 is the true order, 0 a random one")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _between(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def _one_label_sections(found: Answered) -> dict[str, Any]:
    return {
        "confusions": confusions(found.rows),
        **_sections_with_classes(found),
    }


def _several_labels_sections(found: Answered) -> dict[str, Any]:
    sections = _sections_with_classes(found)
    words = {
        "says": "Whether a label with a stated probability of 80 % belongs to 80 % of these rows. All labels of all rows count.",
        "right": "belongs",
        "rows": "probabilities",
    }
    return {
        **sections,
        "confusions": label_mistakes(found.rows, found.target.parts),
        "calibration": {**sections["calibration"], **words},
    }


def _grade_sections(found: Answered) -> dict[str, Any]:
    return {
        "confusions": grade_confusions(found.rows, found.rule.labels),
        **_sections_with_classes(found),
    }


def _sections_with_classes(found: Answered) -> dict[str, Any]:
    """Return the sections of targets that have classes with probabilities."""
    curve = [(row["coverage"], row["accuracy"]) for row in read_figures(found.folder / "coverage.csv")]
    return {
        "classes": class_figures(found.rows, found.shots, found.target.parts),
        "calibration": {
            "says": "Whether labels with a stated probability of 80 % are right 80 % of the time.",
            "right": "right",
            "rows": "rows",
            **calibration_plot(read_figures(found.folder / "reliability.csv")),
        },
        "selective": {**coverage_plot(curve, found.metrics["rows"]), "without_limit": found.rule.without_limit},
    }


def _label_errors(samples: Sequence[dict[str, Any]], labels: list[str], _: Target) -> dict[str, Any]:
    return label_errors(samples, labels)


def _several_label_errors(samples: Sequence[dict[str, Any]], labels: list[str], target: Target) -> dict[str, Any]:
    return several_label_errors(samples, labels, target.parts)


def _number_sections(found: Answered) -> dict[str, Any]:
    return {
        "numbers": {**scatter_plot(found.rows, found.rule), "largest": largest_errors(found.rows)},
        "intervals": interval_rows(found.metrics, found.rule),
    }


VIEWS = {
    "one_label": View(_one_label_figures, _one_label_sections, True, _label_errors),
    "several_labels": View(_several_labels_figures, _several_labels_sections, False, _several_label_errors),
    "grade": View(_grade_figures, _grade_sections, True, _label_errors),
    "number": View(_number_figures, _number_sections, coloured=False),
}
"""Name of the target -> how the page shows its answers."""
