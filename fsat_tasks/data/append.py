"""Append labelled rows to a task's samples, from a file such as a filled-in review.csv."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from fsat_tasks.data.readers import read_rows
from fsat_tasks.data.texts import fingerprint
from fsat_tasks.errors import DataError, StoreError
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import TASK_FILE

__all__ = ["OUT_OF_SCOPE", "add_samples"]

OUT_OF_SCOPE = "out_of_scope"
"""Label of a text that belongs to none of the classes, unless a class has that name."""


class _Known(NamedTuple):
    """Label of a text that the task already has, and the file and line of that text."""

    label: str
    where: str


def add_samples(
    task: Task, file: Path, text: str = "text", label: str = "label", new_labels: Collection[str] = ()
) -> dict[str, int]:
    """Append a file's labelled rows to the samples, or to the out-of-scope file if their label is `out_of_scope`.

    Rows that the task already has are left out. Rows of the query file are left out too, because figures are
    measured on them. Two texts are the same if they differ only in case, punctuation and spacing, as in the step
    `validate`. All rows are checked before anything is written.

    Args:
        task: task whose samples grow.
        file: file with the labelled rows.
        text, label: names of the columns in that file.
        new_labels: labels of new classes. A label that the task does not have is an error unless it is in this list.

    Returns:
        Outcome -> number of rows. `added` rows went to the samples, and `out_of_scope` rows to the out-of-scope file. The
        rest were left out: the task has the `already` rows, the `held_out` rows are in the query file, and the
        `unlabelled` rows have no label.

    Raises:
        DataError: if a file cannot be read, if a row has no text or an unknown label, or if the task has
            the same text with another label. The error names the line.
        StoreError: if the task's files cannot be written.
    """
    samples, outside, query = (task.file(split) for split in ("samples", "out_of_scope", "query"))
    assert samples is not None, "task.yaml has them"
    with _locked(samples):
        known, labels = _known(task, samples, outside)
        held_out = {fingerprint(cell) for cell in _texts(task, query)}
        counts = dict.fromkeys(("added", "out_of_scope", "already", "held_out", "unlabelled"), 0)
        new: dict[Path, list[tuple[str, str]]] = {}
        rows = read_rows(file, text, label, task.spec.validation.max_characters)
        for line, cell, given in zip(rows.lines, rows.texts, rows.labels, strict=True):
            if given is None or not given.strip():
                counts["unlabelled"] += 1
                continue
            where = f"{file}, line {line}"
            if cell is None or not cell.strip():
                raise DataError(f"{where}, column {text!r}", "a text", "none")
            _check_label(given, labels, new_labels, where)
            mark = fingerprint(cell)
            before = known.setdefault(mark, _Known(given, where))
            if before.label != given:
                raise DataError(
                    where,
                    f"the label {before.label!r}, as the same text has in {before.where}",
                    repr(given),
                    "Correct one of them.",
                )
            if before.where != where:
                counts["already"] += 1
            elif mark in held_out:
                counts["held_out"] += 1
            elif given in labels or given != OUT_OF_SCOPE:
                new.setdefault(samples, []).append((cell, given))
                counts["added"] += 1
            else:
                new.setdefault(_require(outside, task, where), []).append((cell, given))
                counts["out_of_scope"] += 1
        _append(new, task.spec.text, task.spec.label)
    return counts


def _known(task: Task, samples: Path, outside: Path | None) -> tuple[dict[str, _Known], set[str]]:
    """Return two values: fingerprint -> label and place, for each text that the task has, and the labels of all classes."""
    rows = read_rows(samples, task.spec.text, task.spec.label, task.spec.validation.max_characters)
    known = {fingerprint(cell): _Known(OUT_OF_SCOPE, str(outside)) for cell in _texts(task, outside)}
    for line, cell, given in zip(rows.lines, rows.texts, rows.labels, strict=True):
        if cell and given:
            known[fingerprint(cell)] = _Known(given, f"{samples}, line {line}")
    return known, {given for given in rows.labels if given} | set(task.spec.classes)


def _texts(task: Task, path: Path | None) -> list[str]:
    if path is None:
        return []
    return [cell for cell in read_rows(path, task.spec.text, None, task.spec.validation.max_characters).texts if cell]


def _check_label(given: str, labels: Collection[str], new_labels: Collection[str], where: str) -> None:
    if given in labels or given == OUT_OF_SCOPE or (given in new_labels and given == given.strip()):
        return
    close = difflib.get_close_matches(given.strip(), labels, n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    raise DataError(
        where,
        f"one of the labels {', '.join(sorted(labels))}, or {OUT_OF_SCOPE}",
        repr(given),
        f"{hint}For a new class: --new-label {given.strip()!r}.",
    )


def _require(outside: Path | None, task: Task, where: str) -> Path:
    if outside is None:
        raise DataError(
            where,
            f"a task with an out_of_scope file, for the label {OUT_OF_SCOPE!r}",
            "none",
            f"Write the text to a file with a column {task.spec.text!r}, and name it in {task.folder / TASK_FILE}.",
        )
    return outside


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


def _append(new: dict[Path, list[tuple[str, str]]], text: str, label: str) -> None:
    """Append rows to files: write copies with the new rows beside the files, then replace each file by its copy."""
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in new}
    try:
        for path, part in parts.items():
            _WRITERS[path.suffix](path, part, [{text: cell, label: given} for cell, given in new[path]])
            shutil.copymode(path, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        raise _unwritable(next(iter(new)), error) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"task folder {path.parent}", "a folder that can be written", error.strerror or str(error))


def _append_csv(path: Path, part: Path, rows: list[dict[str, str]]) -> None:
    """Write a copy of a CSV file with rows appended. The old bytes are kept.

    In the new rows, all cells except text and label are empty.
    """
    content = path.read_bytes()
    header = next(cells for cells in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if cells)
    end = "\r\n" if b"\r\n" in content else "\n"
    lines = []
    for row in rows:
        line = io.StringIO(newline="")
        csv.DictWriter(line, header, lineterminator="\r\n").writerow({name: row[name] for name in row if name in header})
        # csv writes each line with \r\n, because it would otherwise not quote a lone \r
        lines.append(line.getvalue().removesuffix("\r\n") + end)
    part.write_bytes(_ended(content, end) + "".join(lines).encode())


def _append_jsonl(path: Path, part: Path, rows: list[dict[str, str]]) -> None:
    content = path.read_bytes()
    columns = json.loads(next(line for line in content.decode("utf-8-sig").split("\n") if line.strip()))
    lines = (json.dumps({name: row[name] for name in row if name in columns}, ensure_ascii=False) + "\n" for row in rows)
    part.write_bytes(_ended(content, "\n") + "".join(lines).encode())


def _ended(content: bytes, end: str) -> bytes:
    """Return the content with a line end after its last line."""
    return content if content.endswith(b"\n") else content + end.encode()


def _append_parquet(path: Path, part: Path, rows: list[dict[str, str]]) -> None:
    """Write a copy of a Parquet file, in its schema, with rows appended.

    In the new rows, all cells except text and label are null.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    old = pq.read_table(path)
    columns = []
    for field in old.schema:
        values = pa.array([row.get(field.name) for row in rows], pa.string())
        try:
            columns.append(values.cast(field.type))
        except pa.ArrowException as error:
            raise DataError(f"{path}, column {field.name!r}", f"rows that fit its type, {field.type}", str(error)) from None
        if values.null_count and not field.nullable:
            raise DataError(f"{path}, column {field.name!r}", "a column that may be empty", "one that may not")
    pq.write_table(pa.concat_tables([old, pa.table(columns, schema=old.schema)]), part)


_WRITERS: dict[str, Any] = {".csv": _append_csv, ".jsonl": _append_jsonl, ".parquet": _append_parquet}
