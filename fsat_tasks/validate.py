"""Step 1, validate: read the task's files, check them, and put all rows into one canonical table."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.samples import Rows, iter_rows, read_rows
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, sha256_file, write_json
from fsat_tasks.workspace import TASK_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.checks import Finding

__all__ = ["POOL_FILE", "SLICES_FILE", "Split", "load_split", "load_texts", "pool_size", "texts_of_lines", "validate"]

SPLITS = ("samples", "query", "out_of_scope")
"""Small files, read whole. The pool of unlabelled rows may be of any size, and is only ever read row by row."""
POOL, POOL_FILE = "unlabelled", "pool.parquet"
SLICES_FILE = "slices.parquet"
CHECKED_POOL_ROWS = 10_000
"""First rows of the pool that are checked; what can be wrong with traffic shows in them."""
ROW_GROUP = 4096
"""Rows of the pool that are in memory at a time."""
CLASSES = "classes"
"""The split that holds the class names, in label order; their features are the prior of each class."""


def validate(task: Task, store: Store) -> Artefact:
    """Check the task's data.

    Writes texts.parquet (each different text of the small files once), rows.parquet (split, line, text_id, label), pool.parquet
    (line, text and hash of the unlabelled rows, as they come), slices.parquet (line, column and value of query rows, for the
    columns that task.yaml names under `slices`) and findings.json.

    Raises:
        DataError: where a file cannot be read or a critical check fails; nothing is written then.
    """
    files = {split: path for split in (*SPLITS, POOL) if (path := task.file(split)) is not None}
    recipe = Recipe(
        "validate", 5,
        config={"text": task.spec.text, "label": task.spec.label, "classes": task.spec.classes, "slices": task.spec.slices,
                "validation": task.spec.validation.model_dump(), "formats": {k: p.suffix for k, p in files.items()}},
        inputs={split: sha256_file(path) for split, path in files.items()},
    )  # fmt: skip
    return store.build(recipe, lambda folder: _validate(task, files, folder))


def _validate(task: Task, files: dict[str, Path], folder: Path) -> dict[str, int]:
    from fsat_tasks.checks import check_rows

    spec = task.spec
    longest = spec.validation.max_characters
    rows = {
        split: read_rows(path, spec.text, spec.label if split in ("samples", "query") else None, longest)
        for split, path in files.items()
        if split in SPLITS
    }
    first = {POOL: _first_rows(files[POOL], spec.text, longest)} if POOL in files else {}
    findings = check_rows(rows | first, spec.validation)
    _raise_critical([finding for finding in findings if finding.severity == "critical"])
    texts = _write_tables(rows, _class_names(task, rows["samples"]), folder)
    _write_slices(files.get("query"), spec.slices, longest, folder)
    pool = _write_pool(files.get(POOL), spec.text, longest, folder)
    # keys of task.yaml, not paths: the artefact is the same wherever the task folder is and whatever its files are called
    split_of = {part.file: split for split, part in (rows | first).items()}
    shown = [finding.to_json() | {"file": split_of[finding.file]} for finding in findings]
    write_json(folder / "findings.json", shown)
    counts = {split: len(part.lines) for split, part in rows.items()} | ({POOL: pool} if POOL in files else {})
    return {**counts, "texts": texts, "warnings": len(findings)}


def _first_rows(path: Path, text: str, longest: int) -> Rows:
    rows = Rows(str(path))
    for line, (cell,) in itertools.islice(iter_rows(path, [text], longest), CHECKED_POOL_ROWS):
        rows.lines.append(line)
        rows.texts.append(cell)
    return rows


def _write_pool(path: Path | None, text: str, longest: int, folder: Path) -> int:
    """Copy the pool's rows that have a text, some thousand at a time, and count them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"line": pa.int64(), "text": pa.string(), "hash": pa.uint64()})
    rows = (
        iter(())
        if path is None
        else ((line, cell) for line, (cell,) in iter_rows(path, [text], longest) if cell and cell.strip())
    )
    count = 0
    with pq.ParquetWriter(folder / POOL_FILE, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            lines, texts = zip(*group, strict=True)
            hashes = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) for text in texts]
            writer.write_table(pa.table([pa.array(lines), pa.array(texts), pa.array(hashes, pa.uint64())], schema=schema))
            count += len(group)
    return count


def _write_slices(query: Path | None, columns: list[str], longest: int, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [] if query is None or not columns else iter_rows(query, columns, longest)
    cells = [(line, column, cell or "") for line, row in rows for column, cell in zip(columns, row, strict=True)]
    schema = pa.schema({"line": pa.int64(), "column": pa.string(), "value": pa.string()})
    pq.write_table(
        pa.Table.from_pylist([dict(zip(schema.names, cell, strict=True)) for cell in cells], schema), folder / SLICES_FILE
    )


def _raise_critical(critical: list[Finding]) -> None:
    if critical:
        first, *others = critical
        more = "Also: " + "; ".join(f"{other.where}: {other.message}" for other in others) if others else ""
        raise DataError(first.where, f"data that passes the check {first.check!r}", first.message, more)


def _class_names(task: Task, samples: Rows) -> dict[str, str]:
    """Label -> name, in label order, which is the order of the classes from here on."""
    labels = sorted({label for label in samples.labels if label is not None})
    unknown = sorted(set(task.spec.classes) - set(labels))
    if unknown:
        raise TaskError(f"{task.folder / TASK_FILE}: classes.{unknown[0]}", "a label that some sample has",
                        f"{unknown[0]!r}", f"Labels there: {', '.join(labels)}.")  # fmt: skip
    return {label: task.spec.classes.get(label) or label.replace("_", " ").replace("-", " ") for label in labels}


def _write_tables(rows: dict[str, Rows], names: dict[str, str], folder: Path) -> int:
    """Write rows.parquet and texts.parquet, and count the different texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids: dict[str, int] = {}
    table: dict[str, list[object]] = {"split": [], "line": [], "text_id": [], "label": []}

    def add(split: str, line: int, text: str, label: str | None) -> None:
        table["split"].append(split)
        table["line"].append(line)
        table["text_id"].append(ids.setdefault(text, len(ids)))
        table["label"].append(label)

    for number, (class_label, name) in enumerate(names.items()):
        add(CLASSES, number, name, class_label)
    for split, part in rows.items():
        for line, text, label in zip(part.lines, part.texts, part.labels or [None] * len(part.lines), strict=True):
            if text is not None and text.strip():
                add(split, line, text, label)
    types = {"split": pa.string(), "line": pa.int64(), "text_id": pa.int64(), "label": pa.string()}
    pq.write_table(pa.table(table, schema=pa.schema(types)), folder / "rows.parquet")
    pq.write_table(pa.table({"text": pa.array(list(ids), pa.string())}), folder / "texts.parquet")
    return len(ids)


@dataclass(frozen=True)
class Split:
    """Rows of one split, in the file's order."""

    lines: list[int]
    text_ids: NDArray[np.int64]  # (n,)
    labels: list[str]
    """Empty where the split has none."""


def load_split(validated: Artefact, split: str) -> Split:
    """The rows of `samples`, `query`, `out_of_scope` or `classes`; empty where the task has none."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(validated.path / "rows.parquet")
    table = table.filter(pc.equal(table["split"], split))
    labels = [label for label in table["label"].to_pylist() if label is not None]
    return Split(table["line"].to_pylist(), table["text_id"].to_numpy(), labels)


def load_texts(validated: Artefact) -> list[str]:
    """The different texts of the small files; a row's `text_id` is the position here."""
    import pyarrow.parquet as pq

    texts: list[str] = pq.read_table(validated.path / "texts.parquet")["text"].to_pylist()
    return texts


def texts_of_lines(validated: Artefact, split: str) -> dict[int, str]:
    """Line -> text of a split's rows."""
    rows, texts = load_split(validated, split), load_texts(validated)
    return {line: texts[i] for line, i in zip(rows.lines, rows.text_ids, strict=True)}


def pool_size(validated: Artefact) -> int:
    """Unlabelled rows with a text."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(validated.path / POOL_FILE).num_rows)
