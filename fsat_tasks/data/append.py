"""Append labelled rows to a task's samples, from a file such as a filled-in review.csv."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from fsat_tasks.data.appended import Record, append_rows, write_table
from fsat_tasks.data.formats.records import Record as Found
from fsat_tasks.data.formats.records import single
from fsat_tasks.data.formats.registry import iter_records
from fsat_tasks.data.formats.sources import open_source
from fsat_tasks.data.look_alikes import find_look_alikes, has_control
from fsat_tasks.data.readers import read_rows
from fsat_tasks.data.review_cells import unguard_review
from fsat_tasks.errors import DataError, StoreError, TaskError, did_you_mean
from fsat_tasks.inputs.modality import Input
from fsat_tasks.targets.registered import find_target
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import TASK_FILE
from fsat_tasks.tasks.yaml_key import with_key

__all__ = ["NEW_FILE", "OUT_OF_SCOPE", "add_samples"]

log = logging.getLogger(__name__)

OUT_OF_SCOPE = "out_of_scope"
"""Label of a row that belongs to none of the classes, unless a class has that name. The key of task.yaml has the same name."""
NEW_FILE = "out_of_scope.csv"
"""File for such rows, if the task has none yet."""


class _Known(NamedTuple):
    """Label of a row that the task already has, and the file and line of that row."""

    label: str
    where: str


def add_samples(
    task: Task,
    file: Path,
    text: str = "text",
    label: str = "label",
    new_labels: Collection[str] = (),
    warn: Callable[[str], object] = log.warning,
) -> dict[str, int]:
    """Append a file's labelled rows to the samples, or to the out-of-scope file if their label is `out_of_scope`.

    If the task has no out-of-scope file, it gets one, and its task.yaml names it.

    Rows that the task already has are left out. Rows of the query file are left out too, because figures are
    measured on them. Two rows are the same if they have the same fingerprint, as in the step `validate`. All rows are
    checked before anything is written.

    Args:
        task: task whose samples grow.
        file: file or folder with the labelled rows; see `open_source`.
        text, label: names of the columns in that file.
        new_labels: labels of new classes. A label that the task does not have is an error unless it is in this list.
        warn: function that is called with each warning, such as one about a new label that looks like a known one.

    Returns:
        Outcome -> number of rows. `added` rows went to the samples, and `out_of_scope` rows to the out-of-scope file. The
        rest were left out: the task has the `already` rows, the `held_out` rows are in the query file, and the
        `unlabelled` rows have no label.

    Raises:
        DataError: if a file cannot be read, if a row is blank or has an unknown label, or if the task has
            the same row with another label. The error names the line.
        StoreError: if the task's files cannot be written.
    """
    samples, outside, query = (task.file(split) for split in ("samples", "out_of_scope", "query"))
    assert samples is not None, "task.yaml has them"
    modality = task.modality
    with _locked(samples):
        known, labels = _known(task, samples, outside)
        held_out = {modality.fingerprint(row) for row in _inputs(task, query)}
        counts = dict.fromkeys(("added", "out_of_scope", "already", "held_out", "unlabelled"), 0)
        new: dict[Path, list[tuple[Input, str]]] = {}
        target = find_target(task.spec)
        rows = read_rows(
            file,
            task.row_format(text),
            label,
            lambda cell, where: single(cell) if single(cell) == OUT_OF_SCOPE else target.convert(single(cell), where),
            _labelled_records,
        )
        for line, row, given in zip(rows.lines, rows.inputs, rows.labels, strict=True):
            if given is None or not given.strip():
                counts["unlabelled"] += 1
                continue
            where = f"{file}, line {line}"
            if row is None:
                raise DataError(f"{where}, column {', '.join(map(repr, modality.columns(text)))}", f"a {modality.noun}", "none")
            if given != OUT_OF_SCOPE:
                for part in target.parts(given):
                    _check_label(part, labels, new_labels, where)
            mark = modality.fingerprint(row)
            before = known.setdefault(mark, _Known(given, where))
            if before.label != given:
                raise DataError(
                    where,
                    f"the label {before.label!r}, as the same {modality.noun} has in {before.where}",
                    repr(given),
                    "Correct one of them.",
                )
            if before.where != where:
                counts["already"] += 1
            elif mark in held_out:
                counts["held_out"] += 1
            elif OUT_OF_SCOPE in labels or given != OUT_OF_SCOPE:
                new.setdefault(samples, []).append((row, given))
                counts["added"] += 1
            else:
                new.setdefault(outside or _new_file(task), []).append((row, given))
                counts["out_of_scope"] += 1
        _append(task, new)
    fresh = {part for _, given in new.get(samples, ()) for part in target.parts(given)} - labels
    for alike in find_look_alikes(sorted(fresh), sorted(labels) + sorted(fresh)):
        warn(f"{samples}: labels {alike.show()} (write them the same)")
    return counts


def _labelled_records(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, Found]]:
    """Yield the records of a file or a folder that `fsat init` takes too. Those of a review file are as they were labelled."""
    source = open_source(file, "FILE", columns)
    for line, record in source.records(columns):
        yield line, unguard_review(record)


def _known(task: Task, samples: Path, outside: Path | None) -> tuple[dict[str, _Known], set[str]]:
    """Return two values: fingerprint -> label and place, for each row that the task has, and the labels of all classes."""
    target, fingerprint = find_target(task.spec), task.modality.fingerprint
    rows = read_rows(samples, task.row_format(), task.spec.label, target.convert).required()
    known = {fingerprint(row): _Known(OUT_OF_SCOPE, str(outside)) for row in _inputs(task, outside)}
    for line, row, given in zip(rows.lines, rows.inputs, rows.labels, strict=True):
        if row is not None and given:
            known[fingerprint(row)] = _Known(given, f"{samples}, line {line}")
    return known, {part for given in rows.labels if given for part in target.parts(given)} | set(task.spec.classes)


def _inputs(task: Task, path: Path | None) -> list[Input]:
    return [] if path is None else [row for row in read_rows(path, task.row_format(), None).inputs if row is not None]


def _check_label(given: str, labels: Collection[str], new_labels: Collection[str], where: str) -> None:
    if given in labels or (given in new_labels and given == given.strip() and not has_control(given)):
        return
    if has_control(given.strip()):
        raise DataError(where, "a label without line breaks and other control characters", repr(given))
    alike = [one.other for one in find_look_alikes([given.strip()], sorted(labels))]
    hint = f"Did you mean {alike[0]!r}? " if alike else did_you_mean(given.strip(), labels)
    raise DataError(
        where,
        f"one of the labels {', '.join(sorted(labels))}, or {OUT_OF_SCOPE}",
        repr(given),
        f"{hint}For a new class: --new-label {given.strip()!r}.",
    )


def _new_file(task: Task) -> Path:
    """Return the path of a task's new out-of-scope file. Raises TaskError if there is a file that task.yaml does not name."""
    path = task.folder / NEW_FILE
    if path.exists():
        fix = f"Add to it: {OUT_OF_SCOPE}: {NEW_FILE}"
        raise TaskError(str(task.folder / TASK_FILE), f"a key {OUT_OF_SCOPE!r} that names {path}", "none", fix)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Context manager that lets one process append at a time. A second process waits."""
    from filelock import FileLock

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire()
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _append(task: Task, new: dict[Path, list[tuple[Input, str]]]) -> None:
    """Append rows to files: write copies with the new rows beside the files, then replace each file by its copy.

    A file that is not there yet is made, and task.yaml gets the key that names it.
    """
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in new}
    described = task.folder / TASK_FILE
    if any(not path.exists() for path in new):
        parts[described] = described.with_name(f".{described.name}.{os.getpid()}.part")
    try:
        for path, part in parts.items():
            if path == described:
                part.write_text(with_key(path, OUT_OF_SCOPE, NEW_FILE), "utf-8")
            else:
                _write_copy(task, path, part, new[path])
            shutil.copymode(path if path.exists() else described, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        raise _unwritable(next(iter(new)), error) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _write_copy(task: Task, path: Path, part: Path, new: list[tuple[Input, str]]) -> None:
    """Write a copy of one of the task's files with rows appended."""
    columns, cells, target = task.row_format().columns, task.modality.cells, find_target(task.spec)
    rows: list[Record] = [{**dict(zip(columns, cells(row), strict=True)), task.spec.label: given} for row, given in new]
    if not path.exists():
        write_table(part, rows, columns)
        return
    if target.many and _holds_lists(path, task.spec.label):
        rows = [row | {task.spec.label: list(target.parts(str(row[task.spec.label])))} for row in rows]
    append_rows(path, part, rows, [*columns, task.spec.label] if path == task.file("samples") else columns)


def _holds_lists(path: Path, column: str) -> bool:
    """Return whether the first cell of a column is a list."""
    first: dict[str, object] = next((record for _, record in iter_records(path, [])), {})
    return isinstance(first.get(column), list)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"task folder {path.parent}", "a folder that can be written", error.strerror or str(error))
