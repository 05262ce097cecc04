"""Take the rows of a file over into a new task folder, and count what came in and what was left out."""

from __future__ import annotations

import csv
import difflib
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsat_tasks.data.column_guess import guess_label, guess_text, likely_columns, only_text
from fsat_tasks.data.formats.csv_layout import one_column as separator_fix
from fsat_tasks.data.formats.records import Record, single
from fsat_tasks.data.formats.sources import Source
from fsat_tasks.data.readers import Rows
from fsat_tasks.errors import ColumnError, DataError
from fsat_tasks.inputs.cells import read_cell, require_whole
from fsat_tasks.inputs.formats import file_format
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import ValidationSpec

__all__ = ["Columns", "Intake", "Taken", "find_columns", "find_text", "take_rows"]

Convert = Callable[[object, str], object]

MARKUP = 10
"""Maximum length of a cell with markup, as a multiple of that of one without."""
LOOKED_AT = 10_000
"""Maximum number of rows of a file that are kept for its figures."""


@dataclass(frozen=True)
class Columns:
    """Columns of a file that have the texts and the labels."""

    text: tuple[str, ...]
    """Columns whose cells are joined to one text, each on a line of its own."""
    label: str | None
    """None for a file without labels."""

    @property
    def all(self) -> tuple[str, ...]:
        """All of these columns."""
        return self.text if self.label is None else (*self.text, self.label)


@dataclass
class Taken:
    """Rows that came in from one file, and those that were left out."""

    about: str
    """Format of the file in a few words."""
    columns: Columns
    """Columns of the file that the rows were taken from."""
    file: str = ""
    """Name of the file in the task folder."""
    rows: Rows = field(default_factory=lambda: Rows(""))
    """The first rows."""
    count: int = 0
    """Number of all rows that were taken."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> number of rows that were left out."""
    unwrapped: bool = False
    """True if a label was a list of one, which the steps do not read."""

    def label_counts(self, target: Target) -> Counter[str]:
        """Return label -> number of rows that have it."""
        return Counter(part for label in self.rows.labels if label for part in target.parts(label))


@dataclass(frozen=True)
class Intake:
    """Rules by which the rows of all files of a task are taken.

    Args:
        modality: what a row is.
        convert: returns a label as text; see `Target.convert`.
        many: whether a row may have several labels.
        strip: whether to remove markup from the texts.
    """

    modality: Modality
    convert: Convert
    many: bool = False
    strip: bool = False
    longest: int = ValidationSpec().max_characters

    def text(self, cells: Sequence[object], where: str, columns: Sequence[str]) -> str:
        """Return the text in some cells of a row; empty if all are blank."""
        longest = self.longest * (MARKUP if self.strip else 1)
        found = [read_cell(cell, f"{where}, column {name!r}", longest) or "" for cell, name in zip(cells, columns, strict=True)]
        parts = [self.modality.clean(cell) if self.strip else cell for cell in found]
        if len(parts) == 1:
            return parts[0] if parts[0].strip() else ""
        return "\n".join(part.strip() for part in parts if part.strip())

    def label(self, cell: Any, where: str) -> str | None:
        """Return the label in a cell, or None if it is blank. A list of one label is that label, unless rows may have several."""
        found = read_cell(self.convert(single(cell), where), where, self.longest)
        return found if found and found.strip() else None


def find_columns(source: Source, named: Columns, suggest: Callable[[Columns], str]) -> Columns:
    """Return the columns that the user has named, or else those whose names say what they have.

    Args:
        named: columns that the user has named, if any.
        suggest: returns the command to type for some columns, for the error.

    Raises:
        DataError: if there is no such column, or if a column cannot be guessed. It has the columns and what to do.
    """
    columns = source.columns()
    texts = named.text or tuple(filter(None, [guess_text(name for name in columns if name != named.label)]))
    label = named.label or guess_label(name for name in columns if name not in texts)
    if not columns:
        return Columns(texts or ("text",), label or "label")
    likely = likely_columns(columns)
    wrong = [name for name in (*texts, *([label] if label else [])) if not _is_there(name, columns)]
    meant = Columns(
        tuple(_meant(name, columns) or likely[0] for name in texts or likely[:1]),
        (_meant(label, columns) if label else None) or likely[1],
    )
    if texts and label and not wrong:
        return Columns(texts, label)
    fix = separator_fix(list(columns)) or f"Name the columns, such as: {suggest(meant)}"
    if wrong:
        raise ColumnError(str(source.path), wrong[0], list(columns), fix)
    what = "the labels" if texts else "the texts"
    found = f"the columns {', '.join(map(repr, columns))}"
    raise DataError(str(source.path), f"a column whose name says that it has {what}", found, fix)


def find_text(source: Source, named: Sequence[str], own: Sequence[str]) -> Columns:
    """Return the text columns of a file without labels.

    Args:
        named: columns that it shares with the samples, if any.
        own: text columns of the samples, for the error.
    """
    columns = source.columns()
    found = tuple(named) or tuple(filter(None, [guess_text(columns) or only_text(columns)]))
    if columns and not found:
        there = f"the columns {', '.join(map(repr, columns))}"
        fix = f"Call its text column {own[0]!r}, as in the samples, or remove its other columns of texts."
        raise DataError(str(source.path), "a column whose name says that it has the texts, or a single one of texts", there, fix)
    return Columns(found or ("text",), None)


def _is_there(name: str, columns: Collection[str]) -> bool:
    """Return whether a file has a column, or one that it is inside of."""
    return name in columns or name.split(".")[0] in {column.split(".")[0] for column in columns}


def _meant(name: str, columns: Collection[str]) -> str | None:
    """Return a column of the file by its name, or by nearly its name."""
    return name if _is_there(name, columns) else next(iter(difflib.get_close_matches(name, columns, n=1)), None)


def take_rows(source: Source, columns: Columns, names: Columns, intake: Intake, folder: Path, stem: str) -> Taken:
    """Write the rows of a source into a file of the task folder.

    A file that the steps read as it is, and of which nothing is changed or left out, is copied. Any other becomes a CSV file in
    UTF-8 with the text, the label and the other plain columns.

    Args:
        columns: columns of the source.
        names: columns of the task's files.
        stem: name of the new file, without its end.
    """
    path = folder / f"{stem}.csv"
    taken = Taken(source.about, columns, path.name, Rows(str(source.path)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for record in _rows(source, columns, names, intake, taken):
            if writer is None:
                writer = csv.DictWriter(file, list(record), extrasaction="ignore")
                writer.writeheader()
            writer.writerow(record)
        if writer is None:
            csv.writer(file).writerow(names.all)
    if source.plain and columns == names and not (intake.strip or taken.dropped or taken.unwrapped):
        path.unlink()
        taken.file = f"{stem}{file_format(source.path)}"
        shutil.copyfile(source.path, folder / taken.file)
    return taken


def _rows(source: Source, columns: Columns, names: Columns, intake: Intake, taken: Taken) -> Iterator[Record]:
    """Yield the rows to write, and count them."""
    for line, record in source.records(columns.all):
        where = f"{source.path}, line {line}"
        text = intake.text([record[name] for name in columns.text], where, columns.text)
        label = None if columns.label is None else intake.label(record[columns.label], f"{where}, column {columns.label!r}")
        if not text:
            taken.dropped["no text"] += 1
            continue
        if columns.label is not None and label is None:
            taken.dropped["no label"] += 1
            continue
        taken.unwrapped |= columns.label is not None and isinstance(record[columns.label], list) and not intake.many
        taken.count += 1
        if taken.count <= LOOKED_AT or label is not None:
            taken.rows.lines.append(line)
            taken.rows.inputs.append(text)
            taken.rows.labels += [] if columns.label is None else [label]
        own = {names.text[0]: text} | ({} if names.label is None else {names.label: label})
        others = {name: value for name, value in record.items() if _plain(name, value, columns, own)}
        for name, value in others.items():
            require_whole(f"{name}{value}", f"{where}, column {name!r}")
        yield own | others


def _plain(name: str, value: Any, columns: Columns, own: Record) -> bool:
    """Return whether a column is kept beside those of the text and the label."""
    return name not in columns.all and name not in own and not isinstance(value, list | dict | bytes)
