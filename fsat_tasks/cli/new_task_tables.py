"""Table that `fsat init` prints: what came in from each file. It fits in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from fsat_tasks.cli.run_tables import terminal
from fsat_tasks.data.intake import Taken
from fsat_tasks.data.new_task import NewTask
from fsat_tasks.inputs.formats import file_format
from fsat_tasks.inputs.languages import language_name
from fsat_tasks.inputs.modality import Modality

__all__ = ["print_new_task"]

FEW = 0.05
"""Share of the rows below which a language is not named. So many English texts look like another language."""


def print_new_task(name: str, made: NewTask) -> None:
    """Print one row for each file, and how it was read."""
    console = terminal()
    title = f"{name}: what came in"
    heads = ("file", "rows", "classes", "shots", "characters", "language", "left out")
    table = Table(*heads, title=title, title_justify="left")
    for key, taken in made.taken.items():
        counts = taken.label_counts(made.target)
        table.add_row(
            key,
            f"{taken.count:,}",
            f"{len(counts):,}" if counts else "",
            _span(counts.values()),
            _span(len(row) for row in taken.rows.inputs if row is not None),
            _languages(taken, made.modality),
            "\n".join(f"{count:,} {why}" for why, count in taken.dropped.items()) or "none",
        )
    console.print(table)
    for key, taken in made.taken.items():
        console.print(f"{key}: {taken.about}{_columns(taken)}", markup=False)


def _columns(taken: Taken) -> str:
    """Say which columns of a file were read; nothing for a file of lines, which has none."""
    if file_format(Path(taken.rows.file)) == ".txt":
        return ""
    label = "" if taken.columns.label is None else f", label from {taken.columns.label!r}"
    return f"; text from {' and '.join(map(repr, taken.columns.text))}{label}"


def _span(numbers: Iterable[int]) -> str:
    """Return the smallest and the largest of some numbers; empty if there are none."""
    some = sorted(numbers)
    if not some:
        return ""
    return f"{some[0]:,} to {some[-1]:,}" if some[0] < some[-1] else f"{some[0]:,}"


def _languages(taken: Taken, modality: Modality) -> str:
    """Return the languages of a file, the most frequent first."""
    found = modality.find_languages([row for row in taken.rows.inputs if row is not None])
    many = [one for one, count in found.most_common() if count >= FEW * found.total()]
    return ", ".join(language_name(one) for one in many) or "not sure"
