"""The data checks of each split, as expectations of Great Expectations on the tables that `find_oddities` makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.data.class_counts import CROWD, ClassCounts, names
from fsat_tasks.data.leaks import say_leaks
from fsat_tasks.data.tables import LABELLED
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.targets.registered import ONE_LABEL
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import ValidationSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Check", "Severity", "make_checks"]

Severity = Literal["critical", "warning"]
Message = Callable[[Any], str]

BALANCE = 5
"""Maximum number of samples of a class, as a multiple of the smallest class's. Above it, the checks warn."""


@dataclass(frozen=True)
class Check:
    """An expectation of Great Expectations, and what its finding says."""

    name: str
    severity: Severity
    message: Message
    """Returns the message of the finding. It is called only if the expectation fails, with the value that was observed."""
    expectation: Any
    by_class: bool = False
    """True if the message names classes, so that the lines of all their rows would tell nothing more."""


def make_checks(
    split: str, frame: pd.DataFrame, modality: Modality, target: Target, bounds: ValidationSpec, classes: ClassCounts
) -> list[Check]:
    """Return the checks of a split.

    Args:
        frame: the split's table, from `find_oddities`.
        modality: what a row is.
        target: what a label is.
        bounds: bounds of the checks.
        classes: the classes of the samples.
    """
    checks = _checks_of_rows(split, modality)
    if split in LABELLED:
        checks += _checks_of_labels(frame, modality)
    if split == "samples":
        checks += _checks_of_classes(frame, target, bounds, classes)
    if split == "query":
        checks += _checks_of_query(frame, modality, classes)
    return checks


def _checks_of_rows(split: str, modality: Modality) -> list[Check]:
    import great_expectations.expectations as gxe

    severity: Severity = "critical" if split in LABELLED else "warning"
    return [
        _check(modality.noun, severity, f"no {modality.noun}", gxe.ExpectColumnValuesToNotBeNull, column="input"),
        _no("duplicate_of", "duplicates", "warning", f"the same {modality.noun} as in an earlier row"),
        *(_no(f"odd_{name}", name, "warning", message) for name, message in modality.oddities.items()),
    ]


def _checks_of_labels(frame: pd.DataFrame, modality: Modality) -> list[Check]:
    import great_expectations.expectations as gxe

    noun = modality.noun
    return [
        _no("near_duplicate_of", "near_duplicates", "warning", f"nearly the same {noun} as in an earlier row"),
        _check("label", "critical", "no label", gxe.ExpectColumnValuesToNotBeNull, column="label"),
        _check(
            "label_blanks",
            "critical",
            "blanks before or after the label (remove them)",
            gxe.ExpectColumnValuesToMatchRegex,
            column="label",
            regex=r"\A\S(?:[\s\S]*\S)?\Z",
        ),
        _no(
            "control",
            "label_characters",
            "critical",
            lambda _: f"a line break or another control character in the label {_some(frame, 'control')} (remove it)",
        ),
        _no(
            "conflict",
            "conflicts",
            "critical",
            lambda _: f"the same {noun} under two labels, such as {frame['conflict'].dropna().iloc[0]} (keep one)",
        ),
    ]


def _checks_of_classes(frame: pd.DataFrame, target: Target, bounds: ValidationSpec, classes: ClassCounts) -> list[Check]:
    import great_expectations.expectations as gxe

    least = bounds.min_shots
    more = "label more of the small ones" + (", or see tune.class_weight" if target.name == ONE_LABEL.name else "")
    checks = [
        _check(
            "classes",
            "critical",
            lambda count: f"only {count} {target.noun} (at least two that differ are needed)",
            gxe.ExpectColumnUniqueValueCountToBeBetween,
            column="label",
            min_value=2,
        ),
        _no(
            "everywhere",
            "everywhere",
            "critical",
            lambda _: (
                f"a label that every sample has, {_some(frame, 'everywhere')}: there is nothing to learn about it (leave it out)"
            ),
        ),
        _check(
            "samples",
            "critical",
            lambda count: f"only {count} samples (at least {target.least_samples} are needed)",
            gxe.ExpectTableRowCountToBeBetween,
            min_value=target.least_samples,
        ),
        _check(
            "shots",
            "critical",
            lambda _: f"fewer than {least} samples of a class: {classes.few(least)} (label more, or lower validation.min_shots)",
            gxe.ExpectColumnValuesToBeBetween,
            column="shots",
            min_value=least,
        ),
        _check(
            "balance",
            "warning",
            lambda _: f"{classes.uneven()} ({more})",
            gxe.ExpectColumnValuesToBeBetween,
            by_class=True,
            column="imbalance",
            max_value=BALANCE,
        ),
        _check(
            "crowd",
            "warning",
            lambda _: (
                f"over {CROWD:,} samples of a class: {classes.crowds()}. Few-shot sets have 1 to 50 (is it the right file?)"
            ),
            gxe.ExpectColumnValuesToBeBetween,
            by_class=True,
            column="crowd",
            max_value=CROWD,
        ),
        _no("look_alike", "look_alikes", "warning", lambda _: f"{classes.alike()} (write them the same)", by_class=True),
        _check(
            "size",
            "warning",
            lambda count: f"{count:,} rows, where few-shot sets have at most {bounds.many_rows:,} (is it the right file?)",
            gxe.ExpectTableRowCountToBeBetween,
            max_value=bounds.many_rows,
        ),
    ]
    if target.many:
        checks.append(
            _check(
                "one_each",
                "warning",
                "no sample has more than one label (is it target: one_label, or another separator?)",
                gxe.ExpectColumnMaxToBeBetween,
                column="labels",
                min_value=2,
            )
        )
    return checks


def _checks_of_query(frame: pd.DataFrame, modality: Modality, classes: ClassCounts) -> list[Check]:
    noun = modality.noun

    def unknown(_: Any) -> str:
        labels = frame["unknown_label"].dropna().unique().tolist()
        alike = classes.alike(labels)
        return (
            f"a label that no sample has, {names(labels)}; labels of the samples: {names(sorted(classes.counts))}"
            f"{f'; {alike}' if alike else ''} (correct it, or add samples of it)"
        )

    return [
        _no("unknown_label", "unknown_label", "critical", unknown),
        _no(
            "leaked_from",
            "leakage",
            "critical",
            lambda _: say_leaks(frame["leaked_from"].dropna(), modality),
        ),
        _no(
            "nearly_leaked_from",
            "near_leakage",
            "warning",
            f"nearly the same {noun} as in a sample, which makes the figures a little too good",
        ),
    ]


def _check(
    name: str, severity: Severity, message: str | Message, expectation: Any, by_class: bool = False, **arguments: Any
) -> Check:
    say = message if callable(message) else lambda _: message
    return Check(name, severity, say, expectation(**arguments, severity=severity, meta={"check": name}), by_class)


def _no(column: str, name: str, severity: Severity, message: str | Message, by_class: bool = False) -> Check:
    """Return a check that a column of oddities is empty."""
    import great_expectations.expectations as gxe

    return _check(name, severity, message, gxe.ExpectColumnValuesToBeNull, by_class, column=column)


def _some(frame: pd.DataFrame, column: str) -> str:
    """Return the different labels of a column in quotes."""
    return names(frame[column].dropna().unique().tolist())
