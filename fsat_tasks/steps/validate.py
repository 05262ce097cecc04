"""Step 1, validate: read the task's files, check them, and write their rows in one canonical form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.class_names import name_classes
from fsat_tasks.data.formats.registry import find_guess
from fsat_tasks.data.look_alikes import find_look_alikes
from fsat_tasks.data.pool import POOL, build_pool, pool_findings, sample_rows
from fsat_tasks.data.readers import Rows, file_digest, read_rows
from fsat_tasks.data.tables import LABELLED, SPLITS, write_rows, write_slices
from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.inputs.formats import file_format
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.languages import find_unread, languages_config
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.targets.registered import find_target
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import TASK_FILE

if TYPE_CHECKING:
    from fsat_tasks.data.checks import Finding

__all__ = ["validate"]


def validate(run: Run) -> Artefact:
    """Check the task's data.

    The small files are those of the samples, the query rows and the out-of-scope rows. Writes these files:

    - texts.parquet: each distinct row of the small files and each class anchor, once, in the notation of its modality;
    - rows.parquet: split, line, text_id and label of each class and of each row of the small files that is not blank;
    - slices.parquet: line, column and value of query rows, for the columns that task.yaml names under `slices`;
    - pool.json: digest and number of rows of the pool. The pool's rows are in an artefact that is a parent of this one;
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
            "target": find_target(spec).settings(),
            "classes": spec.classes,
            "slices": spec.slices,
            "validation": spec.validation.model_dump(),
            "formats": {split: file_format(path) for split, path in files.items()},
            **run.task.inputs_config(),
            **languages_config(run.task),
        },
        inputs={split: file_digest(path, store.sha256) for split, path in files.items()}
        | ({"pool": pool.digest} if pool else {}),
        parents={"pool": pool} if pool else {},
    )
    return store.build(recipe, lambda folder: _write(run.task, files, pool, folder))


def _write(task: Task, files: dict[str, Path], pool: Artefact | None, folder: Path) -> dict[str, int]:
    spec, target = task.spec, find_target(task.spec)
    rows = {
        split: read_rows(path, task.row_format(), spec.label if split in LABELLED else None, target.convert).required()
        for split, path in files.items()
    }
    findings = _check(task, rows, pool)
    if problem := target.find_problem([label for label in rows["samples"].labels if label is not None]):
        raise DataError(f"{files['samples']}, column {spec.label!r}", *problem)
    names = _class_names(task, rows["samples"])
    texts = write_rows(rows, {label: task.modality.anchor(name) for label, name in names.items()}, folder)
    write_slices(files.get("query"), spec.slices, spec.validation.max_characters, folder)
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
    from fsat_tasks.data.oddities import count_traits

    traits_of_pool = Counter(pool.manifest["notes"]["scripts"]) if pool else None
    findings = check_rows(rows, task.modality, task.spec.validation, traits_of_pool, find_target(task.spec))
    if pool:
        findings += pool_findings(task, pool, count_traits(rows.values(), task.modality))
    read = rows | ({POOL: sample_rows(task, pool)} if pool else {})
    findings += [*find_unread(task, read), *_guesses(task)]
    critical = [finding for finding in findings if finding.severity == "critical"]
    if critical:
        first, *others = critical
        more = "Also: " + "; ".join(f"{other.where}: {other.message}" for other in others) if others else ""
        raise DataError(first.where, f"data that passes the check {first.check!r}", first.message, more)
    return findings


def _guesses(task: Task) -> Iterator[Finding]:
    """Yield a warning for each file whose encoding was guessed, because wrong letters would go unseen."""
    from fsat_tasks.data.checks import Finding

    for path in (task.file(key) for key in (*SPLITS, POOL)):
        if path is not None and (guess := find_guess(path)) is not None:
            message = f"read as {guess}, because it is no UTF-8 (if letters are wrong, save it as UTF-8)"
            yield Finding("encoding", "warning", str(path), message)


def _class_names(task: Task, samples: Rows) -> dict[str, str]:
    """Return class -> its name, in the order of the classes. All later steps keep this order."""
    labels = find_target(task.spec).order([label for label in samples.labels if label is not None])
    unknown = sorted(set(task.spec.classes) - set(labels))
    if unknown:
        where = f"{task.folder / TASK_FILE}: classes.{unknown[0]}"
        alike = "".join(f" The labels {one.show()}." for one in find_look_alikes(unknown[:1], labels))
        raise TaskError(where, "a label that some sample has", f"{unknown[0]!r}", f"Labels there: {', '.join(labels)}.{alike}")
    return name_classes(labels, task.spec.classes)
