"""Find oddities of rows: duplicates, near duplicates, conflicting labels, leaks and those of a modality. Each is a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from fsat_tasks.data.class_counts import ClassCounts
from fsat_tasks.data.leaks import find_leaks
from fsat_tasks.data.look_alikes import has_control
from fsat_tasks.data.readers import Rows
from fsat_tasks.data.tables import LABELLED
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import ValidationSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["count_traits", "find_oddities", "usual_trait"]


NEAR_DUPLICATE_ROWS = 20_000
"""Number of rows above which near duplicates are not searched for, because the search takes quadratic time."""
TRAIT_ROWS = 1_000
"""Number of rows at the start of each file whose traits are counted to find the usual trait."""


def find_oddities(
    files: Mapping[str, Rows],
    modality: Modality,
    target: Target,
    bounds: ValidationSpec,
    usual: str | None,
    classes: ClassCounts,
) -> dict[str, pd.DataFrame]:
    """Return one table per split, with a column for each oddity. None means that the row does not have this oddity.

    Args:
        files: split -> rows.
        modality: what a row is.
        target: what a label is.
        bounds: bounds of the checks.
        usual: most frequent trait of the rows; see `usual_trait`.
        classes: the classes of the samples.
    """
    import pandas as pd

    frames: dict[str, pd.DataFrame] = {}
    for split, rows in files.items():
        labels = rows.labels or [None] * len(rows.lines)
        frame = pd.DataFrame({"line": rows.lines, "input": _column(rows.inputs), "label": labels}, dtype=object)
        frame["print"] = _column(None if row is None else modality.fingerprint(row) for row in rows.inputs)
        frame["duplicate_of"] = _column(_first_lines(frame["print"], rows.lines))
        odd = [() if row is None else modality.find_oddities(row, usual) for row in rows.inputs]
        for name in modality.oddities:
            frame[f"odd_{name}"] = _column(name if name in own else None for own in odd)
        frames[split] = frame
    labelled = [frames[split] for split in LABELLED if split in frames]
    for frame in labelled:
        frame["control"] = _column(_first(_has_control, _parts(label, target)) for label in frame["label"])
    if "samples" in frames:
        samples = frames["samples"]
        parts = [_parts(label, target) for label in samples["label"]]  # the classes of each row
        counts, alike = classes.counts, {one.label for one in classes.look_alikes()}
        samples["shots"] = _column(min((counts[part] for part in row), default=None) for row in parts)
        least = min(counts.values(), default=1)
        samples["imbalance"] = _column(max((counts[part] / least for part in row), default=None) for row in parts)
        samples["crowd"] = _column(max((counts[part] for part in row), default=None) for row in parts)
        samples["look_alike"] = _column(_first(alike.__contains__, row) for row in parts)
        everywhere = {part for part, count in counts.items() if target.many and 1 < len(parts) == count}
        samples["everywhere"] = _column(_first(everywhere.__contains__, row) for row in parts)
        samples["labels"] = _column(len(row) for row in parts)
    for frame in labelled:
        frame["conflict"] = _column(_conflicts(frame))
        frame["near_duplicate_of"] = _column(_near_lines(frame, frame, modality, bounds.near_duplicate))
    if "query" in frames:
        query = frames["query"]
        query["unknown_label"] = _column(
            _first(lambda part: part not in classes.counts, _parts(label, target)) for label in query["label"]
        )
        leaks = find_leaks(files["query"], files["samples"], modality)
        query["leaked_from"] = _column(map(leaks.get, query["line"]))
        near = _near_lines(query, samples, modality, bounds.near_duplicate)
        pairs = zip(query["leaked_from"], near, strict=True)
        query["nearly_leaked_from"] = _column(None if exact else line for exact, line in pairs)
    return {split: frame.astype(object).where(frame.notna(), None) for split, frame in frames.items()}


def _parts(label: str | None, target: Target) -> tuple[str, ...]:
    """Return the classes that a cell names."""
    return target.parts(label) if label else ()


def _first(test: Callable[[str], bool], labels: Iterable[str]) -> str | None:
    """Return the first label for which the test is true, or None."""
    return next((label for label in labels if test(label)), None)


def _has_control(label: str) -> bool:
    """Return whether a control character is inside of a label."""
    return has_control(label.strip())  # another check is about blanks around labels


def _column(values: Iterable[object]) -> pd.Series:
    """Return a column in which None stays None. By default pandas would turn it into NaN, which counts as true."""
    import pandas as pd

    return pd.Series(list(values), dtype=object)


def _first_lines(marks: Iterable[str | None], lines: list[int]) -> list[int | None]:
    """Return, for each row, the line of the first row that has the row's mark, or None if the row itself is the first."""
    first: dict[str, int] = {}
    return [
        None if mark is None or first.setdefault(mark, line) == line else first[mark]
        for mark, line in zip(marks, lines, strict=True)
    ]


def _conflicts(frame: pd.DataFrame) -> list[str | None]:
    """Return, for each row, all labels that it has in the table, or None if there is at most one."""
    labels: dict[str, set[str]] = {}
    for mark, label in zip(frame["print"], frame["label"], strict=True):
        if mark and label:
            labels.setdefault(mark, set()).add(label)
    several = {mark: " and ".join(map(repr, sorted(own))) for mark, own in labels.items() if len(own) > 1}
    return [several.get(mark) for mark in frame["print"]]


def _near_lines(rows: pd.DataFrame, among: pd.DataFrame, modality: Modality, threshold: float) -> list[int | None]:
    """Return, for each row, the line of a row in `among` that is nearly the same, or None.

    Exact repeats do not count. If `among` is the table `rows` itself, each row is compared only with the rows before it.

    Args:
        threshold: minimum similarity; see `Modality.similar`.
    """
    found: list[int | None] = [None] * len(rows)
    marks, others = [list(frame["print"].fillna("")) for frame in (rows, among)]
    if len(rows) + len(among) > NEAR_DUPLICATE_ROWS or not any(others):
        return found
    lines = among["line"].tolist()
    for row, other in modality.similar(marks, others, threshold):
        earlier = among is not rows or other < row
        if earlier and marks[row] != others[other] and found[row] is None:
            found[row] = int(lines[other])
    return found


def count_traits(files: Iterable[Rows], modality: Modality) -> Counter[str]:
    """Count the traits of the rows, such as the scripts of texts, in the first TRAIT_ROWS rows of each file."""
    found = (modality.trait(row) for rows in files for row in rows.inputs[:TRAIT_ROWS] if row is not None)
    return Counter(trait for trait in found if trait)


def usual_trait(traits: Counter[str]) -> str | None:
    """Return the most frequent trait, or None if no row has one."""
    return max(sorted(traits), key=traits.__getitem__) if traits else None
