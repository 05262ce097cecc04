"""Parts of the model card that depend on the task's target: its sentences and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["CARDS", "CardWords"]

Figures = list[tuple[str, str]]


@dataclass(frozen=True)
class CardWords:
    """Sentences of the card about one kind of answer, in Markdown."""

    figures: Callable[[Mapping[str, Any]], Figures]
    """Function that returns the names and values of the table of figures, from metrics.json."""
    what: str = "A text classifier."
    """Description of a model whose task has none."""
    classes: str = "classes"
    output: str = "a probability"
    """Statement of the graph about a text, in words."""
    gives: str = "`probabilities`, float32\n`(batch, WIDTH)`, calibrated, in the order of `labels` in `config.json`."
    """Name, type and shape of the graph's first output. WIDTH stands for the number of classes."""
    decides: str = ""
    """Rule by which an answer is made of the output; empty if the answer is the likeliest class."""
    every: str = "Every text gets one of the classes above."
    outside: str = "probably\nbelongs to none of them."
    """End of the sentence about a text with a low scope score."""


def _one_label(metrics: Mapping[str, Any]) -> Figures:
    return [
        _accuracy("right labels (accuracy)", metrics),
        ("every class counted alike (macro-F1)", _percent(metrics["macro_f1"])),
        _calibration(metrics),
    ]


def _several_labels(metrics: Mapping[str, Any]) -> Figures:
    return [
        ("all labels of all rows together (micro-F1)", _percent(metrics["micro_f1"])),
        ("every label counted alike (macro-F1)", _percent(metrics["macro_f1"])),
        _accuracy("rows whose labels are all right (accuracy)", metrics),
        _calibration(metrics),
    ]


def _grade(metrics: Mapping[str, Any]) -> Figures:
    return [
        *_errors(", in steps between grades", "the middle grade", metrics),
        _accuracy("right grades (accuracy)", metrics),
        ("agreement of the grades, distant mistakes counting more (weighted kappa)", f"{metrics['weighted_kappa']:.2f}"),
        _calibration(metrics),
    ]


def _number(metrics: Mapping[str, Any]) -> Figures:
    return [
        *_errors("", "the mean", metrics),
        _accuracy(f"numbers off by {metrics['tolerance']:.3g} at most (accuracy)", metrics),
        ("90 % intervals that have the true number", _percent(metrics["interval_coverage"])),
    ]


def _errors(unit: str, constant: str, metrics: Mapping[str, Any]) -> Figures:
    interval = f"95 % interval {metrics['mae_low']:.3g} to {metrics['mae_high']:.3g}"
    return [
        (f"off by, on average{unit} (mean absolute error)", f"{metrics['mae']:.3g} ({interval})"),
        (f"the same if every answer were {constant}", f"{metrics['constant_mae']:.3g}"),
        ("order of the rows kept (rank agreement; 1 is the true order, 0 a random one)", f"{metrics['rank_agreement']:.2f}"),
    ]


def _accuracy(name: str, metrics: Mapping[str, Any]) -> tuple[str, str]:
    interval = f"95 % interval {_percent(metrics['accuracy_low'])} to {_percent(metrics['accuracy_high'])}"
    return name, f"{_percent(metrics['accuracy'])} ({interval})"


def _calibration(metrics: Mapping[str, Any]) -> tuple[str, str]:
    return "stated probabilities off by, on average (expected calibration error)", f"{100 * metrics['ece']:.1f} points"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


ONE_LABEL = CardWords(_one_label)
CARDS = {
    "one_label": ONE_LABEL,
    "several_labels": replace(
        ONE_LABEL,
        figures=_several_labels,
        what="A text classifier that gives a text one or more labels.",
        classes="labels",
        decides="A label is given if its probability reaches its threshold. The thresholds are `thresholds` in `config.json`,\n"
        "in the order of `labels`. The probabilities of a text need not sum to 1.",
        every="Every text gets those of the labels above that reach their thresholds, which may be none.",
        outside="probably\nhas none of them.",
    ),
    "grade": replace(
        ONE_LABEL,
        figures=_grade,
        what="A model that grades texts.",
        classes="grades",
        decides="`labels` has the grades from the lowest to the highest. The answer is the median grade: the first at which\n"
        "the sum of the probabilities, in this order, reaches one half.",
        every="Every text gets one of the grades above.",
    ),
    "number": replace(
        ONE_LABEL,
        figures=_number,
        what="A model that gives a number for a text.",
        output="a number, in units of the usual error,",
        gives="`numbers`, float32\n`(batch, 1)`, in the units of the samples.",
        decides="The interval around a number reaches as far below it as above it. `set_thresholds` in `config.json` has half\n"
        "its width for each share of texts whose interval should have the true number.",
        every="Every text gets a number.",
        outside="is\nprobably unlike the samples, and its number means little.",
    ),
}
"""Name of the target -> sentences of its cards."""
