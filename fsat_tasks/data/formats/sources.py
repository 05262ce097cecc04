"""Files and folders from which `fsat init` and `fsat add` take labelled rows: tables, and exports of other tools."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsat_tasks.data.formats.annotations import TOOLS
from fsat_tasks.data.formats.folders import has_texts, read_folders
from fsat_tasks.data.formats.hugging_face import class_names, find_split, is_saved, named, read_saved
from fsat_tasks.data.formats.intents import is_dialogflow, is_snips, read_dialogflow, read_rasa, read_snips
from fsat_tasks.data.formats.json_records import load_json
from fsat_tasks.data.formats.lines import file_lines
from fsat_tasks.data.formats.records import Record, with_columns
from fsat_tasks.data.formats.registry import describe, iter_records
from fsat_tasks.errors import DataError, TaskError, reason
from fsat_tasks.inputs.formats import FORMATS, file_format, one_of
from fsat_tasks.tasks.workspace import no_file

__all__ = ["PEEKED", "Source", "open_source"]

PEEKED = 200
"""Number of records at the start that the names of the columns are taken from."""
DEEPEST = 10
"""Maximum number of columns that a column is inside of."""
PLAIN = ("CSV", "JSON lines", "Parquet")
"""Descriptions of files that a task folder may have as they are."""
RASA = (".yml", ".yaml")

Read = Callable[[Sequence[str]], Iterator[tuple[int, Record]]]


@dataclass(frozen=True)
class Source:
    """A file or a folder with rows."""

    path: Path
    about: str
    """Format in a few words, such as `CSV, semicolons, Windows-1252` or `Label Studio`."""
    _read: Read

    @property
    def plain(self) -> bool:
        """True if the steps read the file as it is."""
        return self.about in PLAIN

    def records(self, columns: Sequence[str] = ()) -> Iterator[tuple[int, Record]]:
        """Yield the line, or the number, of each row, and its values. Raises DataError if a row lacks one of the columns."""
        try:
            for line, record in self._read(columns):
                yield line, with_columns(record, columns, f"{self.path}, line {line}")
        except OSError as error:  # of a folder, it names the file
            raise DataError(str(error.filename or self.path), "a file that can be read", reason(error)) from None

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns, and their values in the first rows. The columns inside of `a` are `a.b` and so on."""
        found: dict[str, list[Any]] = {}
        for _, record in itertools.islice(self.records(), PEEKED):
            for name, value in _flat(record):
                found.setdefault(name, []).append(value)
        return found


def open_source(path: Path, where: str, columns: Sequence[str] = ()) -> Source:
    """Find out what a file or a folder is.

    Args:
        path: the file or folder.
        where: name of the option, for errors.
        columns: columns that the user has named. They tell which character separates the cells of a CSV file.

    Raises:
        TaskError: if there is nothing at the path, or nothing that fsat reads.
        DataError: if the file cannot be read.
    """
    try:
        if path.is_dir():
            return _folder(path, where)
        if (problem := no_file(path)) is not None:
            raise TaskError(where, "a file or a folder", f"{str(path)!r}, which {problem}")
        return _file(path, where, columns)
    except OSError as error:
        raise DataError(str(path), "a file or a folder that can be read", reason(error)) from None


def _folder(path: Path, where: str) -> Source:
    if is_saved(path):
        split = find_split(path)
        about = "Hugging Face" if split == path else f"Hugging Face, split {split.name!r}"
        return Source(path, about, _numbered(lambda: read_saved(split)))
    if is_dialogflow(path):
        return Source(path, "Dialogflow", _numbered(lambda: read_dialogflow(path)))
    if has_texts(path):
        return Source(path, "a folder for each class", _numbered(lambda: read_folders(path)))
    wanted = "CLASS/*.txt, a data set of Hugging Face, or intents of Dialogflow, in the folder"
    raise TaskError(where, wanted, f"{str(path)!r}, which has none of them", "docs/formats.md lists all formats.")


def _file(path: Path, where: str, columns: Sequence[str]) -> Source:
    form = file_format(path)
    if form in RASA:
        return Source(path, "Rasa NLU", _numbered(lambda: read_rasa(path)))
    if form not in FORMATS:
        raise TaskError(where, one_of((*FORMATS, *RASA)), repr(str(path)), "docs/formats.md lists all formats.")
    about = describe(path, columns)
    if form in (".json", ".jsonl"):
        return _json(path, about)
    names = class_names(path) if form in (".parquet", ".arrow") else {}

    def read(wanted: Sequence[str]) -> Iterator[tuple[int, Record]]:
        for line, record in iter_records(path, wanted):
            yield line, named(record, names, f"{path}, line {line}") if names else record

    return Source(path, f"{about}, names of classes" if names else about, read)


def _json(path: Path, about: str) -> Source:
    """Return the rows of JSON lines, of an array, or of the export of another tool."""
    if _is_document(path) and is_snips(document := load_json(path)):
        return Source(path, "Snips NLU", _numbered(lambda: read_snips(document, str(path))))
    first = next(iter_records(path, ()), (0, {}))[1]
    tool = next((tool for tool in TOOLS if tool.knows(first)), None)
    if tool is None:
        return Source(path, about, lambda columns: iter_records(path, columns))
    return Source(path, tool.name, lambda _: ((line, tool.convert(record)) for line, record in iter_records(path, ())))


def _is_document(path: Path) -> bool:
    """Return whether a file may be one JSON object: it is no array, and its first line alone is no object of a row."""
    first = next((line.strip() for line in file_lines(path, newline="\n") if line.strip()), "")
    return first.startswith("{") and (not first.endswith("}") or '"intents"' in first)


def _numbered(read: Callable[[], Iterator[Record]]) -> Read:
    """Return a reader that counts the rows, because they have no lines."""
    return lambda _: enumerate(read(), start=1)


def _flat(record: Record, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each column, those inside of other columns too."""
    for name, value in record.items():
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict) and before.count(".") < DEEPEST:
            yield from _flat(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}", value
