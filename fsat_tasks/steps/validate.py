"""Step 1, validate: read the task's files, check them, and write their rows in one canonical form."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.data.pool import POOL, build_pool, pool_findings
from fsat_tasks.data.readers import Rows, read_rows
from fsat_tasks.data.tables import SPLITS, write_rows, write_slices
from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import TASK_FILE

if TYPE_CHECKING:
    from fsat_tasks.data.checks import Finding

__all__ = ["validate"]


def validate(run: Run) -> Artefact:
    """Check the task's data.

    The small files are those of the samples, the query rows and the out-of-scope rows. Writes these files:

    - texts.parquet: each distinct text of the small files and each class name, once;
    - rows.parquet: split, line, text_id and label of each class name and of each row of the small files that has a text;
    - slices.parquet: line, column and value of query rows, for the columns that task.yaml names under `slices`;
    - pool.json: digest and number of rows of the pool. The pool's texts are in an artefact that is a parent of this one;
    - findings.json: the warnings about the data.

    Raises:
        DataError: if a file cannot be read or a critical check fails. In that case nothing is written.
    """
    spec, store = run.task.spec, run.store
    files = {split: path for split in SPLITS if (path := run.task.file(split)) is not None}
    pool = build_pool(run.task, store)
    recipe = Recipe(
        "validate",
        versions.VALIDATE,
        config={
            "text": spec.text,
            "label": spec.label,
            "classes": spec.classes,
            "slices": spec.slices,
            "validation": spec.validation.model_dump(),
            "formats": {split: path.suffix for split, path in files.items()},
        },
        inputs={split: store.sha256(path) for split, path in files.items()} | ({"pool": pool.digest} if pool else {}),
        parents={"pool": pool} if pool else {},
    )
    return store.build(recipe, lambda folder: _write(run.task, files, pool, folder))


def _write(task: Task, files: dict[str, Path], pool: Artefact | None, folder: Path) -> dict[str, int]:
    spec = task.spec
    longest = spec.validation.max_characters
    rows = {
        split: read_rows(path, spec.text, spec.label if split in ("samples", "query") else None, longest)
        for split, path in files.items()
    }
    findings = _check(task, rows, pool)
    texts = write_rows(rows, _class_names(task, rows["samples"]), folder)
    write_slices(files.get("query"), spec.slices, longest, folder)
    # a finding names a file by its key in task.yaml and not by its path, so that the artefact depends on no folder or file name
    split_of = {part.file: split for split, part in rows.items()}
    write_json(folder / "findings.json", [finding.to_json() | {"file": split_of.get(finding.file, POOL)} for finding in findings])
    size = int(pool.manifest["notes"]["rows"]) if pool else 0
    write_json(folder / "pool.json", {"digest": pool.digest if pool else None, "rows": size})
    counts = {split: len(part.lines) for split, part in rows.items()} | ({POOL: size} if pool else {})
    return {**counts, "texts": texts, "warnings": len(findings)}


def _check(task: Task, rows: dict[str, Rows], pool: Artefact | None) -> list[Finding]:
    """Return the warnings about all files. Raises DataError if a critical check fails."""
    from fsat_tasks.data.checks import check_rows
    from fsat_tasks.data.oddities import count_scripts

    scripts_of_pool = Counter(pool.manifest["notes"]["scripts"]) if pool else None
    findings = check_rows(rows, task.spec.validation, scripts_of_pool)
    if pool:
        findings += pool_findings(task, pool, count_scripts(rows.values()))
    critical = [finding for finding in findings if finding.severity == "critical"]
    if critical:
        first, *others = critical
        more = "Also: " + "; ".join(f"{other.where}: {other.message}" for other in others) if others else ""
        raise DataError(first.where, f"data that passes the check {first.check!r}", first.message, more)
    return findings


def _class_names(task: Task, samples: Rows) -> dict[str, str]:
    """Return label -> class name, sorted by label. All later steps keep this order of the classes."""
    labels = sorted({label for label in samples.labels if label is not None})
    unknown = sorted(set(task.spec.classes) - set(labels))
    if unknown:
        where = f"{task.folder / TASK_FILE}: classes.{unknown[0]}"
        raise TaskError(where, "a label that some sample has", f"{unknown[0]!r}", f"Labels there: {', '.join(labels)}.")
    return name_classes(labels, task.spec.classes)
