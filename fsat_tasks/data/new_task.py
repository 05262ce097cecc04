"""Create a task folder from files of labelled samples, query rows and texts without labels."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fsat_tasks.data.class_counts import ClassCounts
from fsat_tasks.data.formats.sources import Source, open_source
from fsat_tasks.data.intake import Columns, Intake, Taken, find_columns, find_text, take_rows
from fsat_tasks.data.leaks import find_leaks, say_leaks, say_lines
from fsat_tasks.data.readers import Rows
from fsat_tasks.data.tables import LABELLED
from fsat_tasks.data.task_template import fill_template, quoted
from fsat_tasks.data.wishes import Wishes, init_command
from fsat_tasks.errors import DataError, StoreError, TaskError
from fsat_tasks.inputs.modalities import find_modality
from fsat_tasks.inputs.modality import Modality
from fsat_tasks.quality.wording import PERCENT
from fsat_tasks.targets.registered import ONE_LABEL, TARGETS
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import ValidationSpec
from fsat_tasks.tasks.workspace import TASK_FILE, Workspace, check_task_name
from fsat_tasks.tasks.yaml_file import LARGEST_FILE, LONGEST_KEY, parse_yaml

__all__ = ["NewTask", "Wishes", "create_task"]

log = logging.getLogger(__name__)

MARKED_UP = 0.1
"""Share of texts with tags of HTML above which there is a warning."""


@dataclass(frozen=True)
class NewTask:
    """A task folder that was made."""

    folder: Path
    taken: dict[str, Taken]
    """Key of task.yaml, such as `samples` -> what came in from the file."""
    modality: Modality
    target: Target

    def to_json(self) -> dict[str, Any]:
        """Return the task's name and folder, and what came in from each file."""
        return {"task": self.folder.name, "folder": str(self.folder), "files": [self._file(key) for key in self.taken]}

    def _file(self, key: str) -> dict[str, Any]:
        taken = self.taken[key]
        return {
            "for": key,
            "file": taken.file,
            "format": taken.about,
            "text": list(taken.columns.text),
            "label": taken.columns.label,
            "rows": taken.count,
            "classes": dict(sorted(taken.label_counts(self.target).items())),
            "left_out": dict(taken.dropped),
        }


def create_task(
    name: str, files: Mapping[str, Path], wishes: Wishes | None = None, warn: Callable[[str], object] = log.warning
) -> NewTask:
    """Take files over into a new task folder and write its task.yaml. After an error, no folder is left behind.

    Args:
        name: name of the new task.
        files: key of task.yaml -> file or folder; see `open_source`. `samples` is required, and `query`, `unlabelled` and
            `out_of_scope` may be there.
        wishes: options.
        warn: function that is called with each warning about the samples.

    Raises:
        TaskError: if the name is not valid, if the task exists already, if there is no such target, or if there is no such file.
        DataError: if a file cannot be read, if a column cannot be guessed, or if there are fewer than two classes.
        StoreError: if the folder cannot be written.
    """
    wishes = wishes or Wishes()
    folder = Workspace.from_env().data / check_task_name(name)
    if os.path.lexists(folder):
        raise TaskError(f"task {name!r}", "a new name", f"one that exists: {folder}", "Choose another, or edit that one.")
    if wishes.label in wishes.text:
        both = f"{wishes.label!r} for both"
        raise TaskError("--text and --label", "two columns", both, "One has the texts, the other the labels.")
    if "query" not in files and (wishes.query_text or wishes.query_label):
        raise TaskError(
            "--query-text and --query-label", "--query FILE beside them", "none", "They name the columns of that file."
        )
    kind = _target(wishes)
    modality = find_modality("text")
    # grades that are words have no order yet: the user gives them one in task.yaml
    convert = ONE_LABEL.convert if kind.ordered else kind.convert
    intake = Intake(modality, convert, kind.many, wishes.strip_html)
    temporary = folder.with_name(f".{name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        taken, names = _take(name, files, wishes, intake, temporary)
        classes = _classes(taken["samples"], kind)
        _require_short(taken["samples"], classes, kind)
        content = fill_template({key: one.file for key, one in taken.items()}, names, kind, classes)
        _require_readable(content, folder / TASK_FILE, taken["samples"])
        for warning in _warnings(taken, classes, modality, kind, wishes):
            warn(f"{files['samples']}{warning}")
        if "query" in taken and (leaks := find_leaks(taken["query"].rows, taken["samples"].rows, modality)):
            warn(f"{files['query']}, {say_lines(leaks)}: {say_leaks(leaks.values(), modality, str(files['samples']))}")
        (temporary / TASK_FILE).write_text(content, "utf-8")
        temporary.rename(folder)
    except OSError as error:
        raise StoreError(f"data root {folder.parent}", "a folder that can be written", str(error.strerror)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return NewTask(folder, taken, modality, kind)


def _target(wishes: Wishes) -> Target:
    if wishes.target not in TARGETS:
        raise TaskError("--target", f"one of {', '.join(TARGETS)}", repr(wishes.target))
    kind = TARGETS[wishes.target]
    if wishes.separator is None:
        return kind()
    if not kind.many:
        raise TaskError("--separator", "--target several_labels beside it", f"--target {wishes.target}")
    if len(wishes.separator) != 1:
        raise TaskError("--separator", "one character", repr(wishes.separator))
    return kind(separator=wishes.separator)  # type: ignore[call-arg] # all targets with many labels have it


def _take(name: str, files: Mapping[str, Path], wishes: Wishes, intake: Intake, folder: Path) -> tuple[dict[str, Taken], Columns]:
    """Take all files over. Returns what came in, and the columns of the new files."""
    taken: dict[str, Taken] = {}
    own = names = Columns((), None)
    for key, path in files.items():
        source = open_source(path, f"--{key.replace('_', '-')}", _named(key, wishes))
        if key == "samples":
            columns = own = find_columns(source, Columns(wishes.text, wishes.label), _suggest(key, name, files, wishes))
            names = _names(own)
        elif key == "query":
            shared = _shared(source, own, names)
            named = Columns(wishes.query_text or shared.text, wishes.query_label or shared.label)
            columns = find_columns(source, named, _suggest(key, name, files, wishes))
        else:
            columns = find_text(source, _shared(source, own, names).text, own.text)
        taken[key] = take_rows(source, columns, names if key in LABELLED else Columns(names.text, None), intake, folder, key)
    return taken, names


def _named(key: str, wishes: Wishes) -> tuple[str, ...]:
    """Return the text columns that the user has named for one of the files."""
    return {"samples": wishes.text, "query": wishes.query_text}.get(key, ())


def _suggest(key: str, name: str, files: Mapping[str, Path], wishes: Wishes) -> Callable[[Columns], str]:
    """Return a function from other columns of the samples or the query file to the command that names them."""

    def suggest(found: Columns) -> str:
        if key == "samples":
            return init_command(name, files, replace(wishes, text=found.text, label=found.label))
        return init_command(name, files, replace(wishes, query_text=found.text, query_label=found.label))

    return suggest


def _shared(source: Source, own: Columns, names: Columns) -> Columns:
    """Return the columns of the samples, or of the new files, as far as another file has them."""
    there = source.columns()
    text = next((some for some in (own.text, names.text) if set(some) <= set(there)), ())
    return Columns(text, next((some for some in (own.label, names.label) if some in there), None))


def _names(columns: Columns) -> Columns:
    """Return the columns of the new files: those of the samples, but one for a text that is joined from several."""
    return columns if len(columns.text) == 1 else Columns(("text" if columns.label != "text" else "texts",), columns.label)


def _classes(taken: Taken, kind: Target) -> list[str]:
    """Return the classes of the samples. Raises DataError if there are fewer than two."""
    if not taken.count:
        why = ", ".join(f"{count:,} with {reason}" for reason, count in taken.dropped.items()) or "a file without any"
        raise DataError(taken.rows.file, "rows with a text and a label", why)
    given = {one for one in taken.rows.labels if one}
    classes = kind.order(given) or sorted({part for one in given for part in kind.parts(one)})
    if len(classes) == 1:
        fix = "Add samples of another class. Texts that belong to none go into the file that out_of_scope names."
        raise DataError(f"{taken.rows.file}, column {taken.columns.label!r}", "two classes or more", f"only {classes[0]!r}", fix)
    return classes


def _require_short(samples: Taken, classes: list[str], kind: Target) -> None:
    """Raise DataError if a class is too long for a key of task.yaml."""
    for name in classes:
        if (length := len(quoted(name))) > LONGEST_KEY:
            found = (line for line, label in samples.rows.labelled() if name in kind.parts(label))
            line = next(found, samples.rows.lines[0])
            where = f"{samples.rows.file}, line {line}, column {samples.columns.label!r}"
            wanted = f"a label that takes at most {LONGEST_KEY:,} characters in task.yaml"
            raise DataError(where, wanted, f"{length:,}: {name[:40]!r}...", "Shorten it. Or is it the column of the texts?")


def _require_readable(content: str, path: Path, samples: Taken) -> None:
    """Raise an error if task.yaml could not be read again, so that no folder is made."""
    if (size := len(content.encode())) > LARGEST_FILE:
        where, wanted = (
            f"{samples.rows.file}, column {samples.columns.label!r}",
            f"labels for a task.yaml of at most {LARGEST_FILE:,} bytes",
        )
        raise DataError(where, wanted, f"labels that need {size:,}", "Shorten them, or use fewer classes.")
    parse_yaml(path, content)


def _warnings(
    taken: Mapping[str, Taken], classes: list[str], modality: Modality, target: Target, wishes: Wishes
) -> Iterator[str]:
    """Yield what is odd: labels that look alike, small classes, texts under two labels, and texts with HTML."""
    rows = taken["samples"].rows
    counts = ClassCounts(rows.labels, rows.lines, target)
    if alike := counts.alike():
        yield f": {alike} (write them the same)"
    if twice := _under_two_labels(rows, modality):
        yield twice
    marked = sum(modality.has_markup(row) for row in rows.inputs if row is not None) / max(len(rows.inputs), 1)
    if marked > MARKED_UP and not wishes.strip_html:
        yield f": {PERCENT.show(marked)} of the texts have HTML, which the model learns too (to remove it: --strip-html)"
    if classes and not target.ordered and all(label.isdigit() for label in classes):
        yield ": the classes are numbers, which tell the model nothing (say under `classes` in task.yaml what they mean)"
    if few := counts.say_few(ValidationSpec().min_shots):
        yield f": {few}, which validate refuses (label more, name another --label, or lower validation.min_shots in task.yaml)"


def _under_two_labels(rows: Rows, modality: Modality) -> str | None:
    """Name the first row whose text another row has under another label."""
    first: dict[str, tuple[int, str]] = {}
    found = []
    for line, row, given in zip(rows.lines, rows.inputs, rows.labels, strict=True):
        if row is not None and given:
            before, other = first.setdefault(modality.fingerprint(row), (line, given))
            if other != given:
                found.append(f", lines {before}, {line}: the same {modality.noun} under the labels {other!r} and {given!r}")
    if found:
        more = f"; there are {len(found) - 1:,} more such rows" if len(found) > 1 else ""
        return f"{found[0]} (keep one{more})"
    return None
