"""Step 1, validate: read the task's files, check them, and put all rows into one canonical table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.pool import POOL, pool, pool_findings
from fsat_tasks.samples import Rows, iter_rows, read_rows
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import sha256_file, write_json
from fsat_tasks.tasks.spec import Task
from fsat_tasks.tasks.workspace import TASK_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.checks import Finding

__all__ = ["SLICES_FILE", "Split", "load_split", "load_texts", "pool_size", "texts_of_lines", "validate"]

SPLITS = ("samples", "query", "out_of_scope")
"""Small files, read whole."""
SLICES_FILE = "slices.parquet"
CLASSES = "classes"
"""The split that holds the class names, in label order; their features are the prior of each class."""


def validate(task: Task, store: Store) -> Artefact:
    """Check the task's data.

    Writes texts.parquet (each different text of the small files once), rows.parquet (split, line, text_id, label), slices.parquet
    (line, column and value of query rows, for the columns that task.yaml names under `slices`), pool.json (digest and rows of the
    pool, which is an artefact of its own and a parent of this one) and findings.json.

    Raises:
        DataError: where a file cannot be read or a critical check fails; nothing is written then.
    """
    files = {split: path for split in SPLITS if (path := task.file(split)) is not None}
    unlabelled = pool(task, store)
    inputs = {split: sha256_file(path) for split, path in files.items()}
    recipe = Recipe(
        "validate", 6,
        config={"text": task.spec.text, "label": task.spec.label, "classes": task.spec.classes, "slices": task.spec.slices,
                "validation": task.spec.validation.model_dump(), "formats": {k: p.suffix for k, p in files.items()}},
        inputs=inputs | ({"pool": unlabelled.digest} if unlabelled else {}),
        parents={"pool": unlabelled} if unlabelled else {},
    )  # fmt: skip
    return store.build(recipe, lambda folder: _validate(task, files, unlabelled, folder))


def _validate(task: Task, files: dict[str, Path], unlabelled: Artefact | None, folder: Path) -> dict[str, int]:
    from fsat_tasks.checks import check_rows, count_scripts

    spec = task.spec
    longest = spec.validation.max_characters
    rows = {
        split: read_rows(path, spec.text, spec.label if split in ("samples", "query") else None, longest)
        for split, path in files.items()
    }
    of_pool = Counter(unlabelled.manifest["notes"]["scripts"]) if unlabelled else None
    findings = check_rows(rows, spec.validation, of_pool)
    if unlabelled:
        findings += pool_findings(task, unlabelled, count_scripts(rows.values()))
    _raise_critical([finding for finding in findings if finding.severity == "critical"])
    texts = _write_tables(rows, _class_names(task, rows["samples"]), folder)
    _write_slices(files.get("query"), spec.slices, longest, folder)
    # keys of task.yaml, not paths: the artefact is the same wherever the task folder is and whatever its files are called
    split_of = {part.file: split for split, part in rows.items()}
    shown = [finding.to_json() | {"file": split_of.get(finding.file, POOL)} for finding in findings]
    write_json(folder / "findings.json", shown)
    size = int(unlabelled.manifest["notes"]["rows"]) if unlabelled else 0
    write_json(folder / "pool.json", {"digest": unlabelled.digest if unlabelled else None, "rows": size})
    counts = {split: len(part.lines) for split, part in rows.items()} | ({POOL: size} if unlabelled else {})
    return {**counts, "texts": texts, "warnings": len(findings)}


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
    return int(validated.json("pool.json")["rows"])
