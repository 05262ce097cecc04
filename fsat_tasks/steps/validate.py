"""Step 1, validate: read the task's files, check them, and put all rows into one canonical table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.pool import POOL, pool, pool_findings
from fsat_tasks.data.readers import Rows, read_rows
from fsat_tasks.data.tables import SPLITS, _write_slices, _write_tables
from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import sha256_file, write_json
from fsat_tasks.tasks.spec import Task
from fsat_tasks.tasks.workspace import TASK_FILE

if TYPE_CHECKING:
    from fsat_tasks.data.checks import Finding

__all__ = ["validate"]


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
        "validate",
        6,
        config={
            "text": task.spec.text,
            "label": task.spec.label,
            "classes": task.spec.classes,
            "slices": task.spec.slices,
            "validation": task.spec.validation.model_dump(),
            "formats": {k: p.suffix for k, p in files.items()},
        },
        inputs=inputs | ({"pool": unlabelled.digest} if unlabelled else {}),
        parents={"pool": unlabelled} if unlabelled else {},
    )
    return store.build(recipe, lambda folder: _validate(task, files, unlabelled, folder))


def _validate(task: Task, files: dict[str, Path], unlabelled: Artefact | None, folder: Path) -> dict[str, int]:
    from fsat_tasks.data.checks import check_rows, count_scripts

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
        raise TaskError(
            f"{task.folder / TASK_FILE}: classes.{unknown[0]}",
            "a label that some sample has",
            f"{unknown[0]!r}",
            f"Labels there: {', '.join(labels)}.",
        )
    return {label: task.spec.classes.get(label) or label.replace("_", " ").replace("-", " ") for label in labels}
