"""The pool of unlabelled rows: read, checked and kept once, for all the tasks that share its file."""

from __future__ import annotations

import itertools
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.errors import StoreError
from fsat_tasks.samples import Rows, iter_rows
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import sha256_file, write_json
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    from fsat_tasks.checks import Finding

__all__ = ["POOL", "POOL_FILE", "ROW_GROUP", "find_pool", "pool", "pool_findings"]

POOL, POOL_FILE = "unlabelled", "pool.parquet"
CHECKED_ROWS = 10_000
"""First rows that are checked; what can be wrong with traffic shows in them."""
ROW_GROUP = 4096
"""Rows that are in memory at a time: a pool may be of any size."""


def pool(task: Task, store: Store) -> Artefact | None:
    """The pool of the task's file, made by the first task that names it; None where the task has none.

    Writes pool.parquet (line, text and hash of the rows that have a text, as they come) and findings.json.

    Raises:
        DataError: where the file cannot be read.
    """
    path = task.file(POOL)
    if path is None:
        return None
    text, longest = task.spec.text, task.spec.validation.max_characters
    recipe = Recipe("pool", 1, {"text": text, "max_characters": longest, "format": path.suffix}, {POOL: sha256_file(path)})

    def write(folder: Path) -> dict[str, object]:
        from fsat_tasks.checks import check_rows, count_scripts

        first = _first_rows(path, text, longest)
        found = check_rows({POOL: first}, task.spec.validation)
        write_json(folder / "findings.json", [finding.to_json() | {"file": POOL} for finding in found])
        return {"rows": _write_rows(path, text, longest, folder), "scripts": dict(count_scripts([first]))}

    return store.build(recipe, write)


def pool_findings(task: Task, made: Artefact, scripts: Counter[str]) -> list[Finding]:
    """What the checks found in the pool, beside the task's other files.

    Args:
        scripts: how many of their rows are in each script. Where these outvote the pool's own, it is checked once more.
    """
    from fsat_tasks.checks import Finding, check_rows, common_script

    own = Counter(made.manifest["notes"]["scripts"])
    path = task.file(POOL)
    assert path is not None
    if common_script(own) != common_script(scripts + own):
        first = _first_rows(path, task.spec.text, task.spec.validation.max_characters)
        return check_rows({POOL: first}, task.spec.validation, scripts)
    return [Finding(**{**found, "file": str(path), "lines": tuple(found["lines"])}) for found in made.json("findings.json")]


def find_pool(validated: Artefact, store: Store | None = None) -> Artefact | None:
    """The pool that a task's data refers to; None where it has none.

    Args:
        store: where to look, for one that marks nothing as used; by default the one in which the task's data lies.

    Raises:
        StoreError: where it is no longer in the store.
    """
    reference = validated.manifest["parents"].get("pool")
    if reference is None:
        return None
    store = store or Store(validated.path.parents[2])
    found = store.find(reference["step"], reference["key"])
    if found is None:
        where = str(store.folder(reference["step"], reference["key"]))
        raise StoreError(where, "the pool of the task's data", "none that is whole", "Run the task again.")
    return found


def _first_rows(path: Path, text: str, longest: int) -> Rows:
    rows = Rows(str(path))
    for line, (cell,) in itertools.islice(iter_rows(path, [text], longest), CHECKED_ROWS):
        rows.lines.append(line)
        rows.texts.append(cell)
    return rows


def _write_rows(path: Path, text: str, longest: int, folder: Path) -> int:
    """Copy the rows that have a text, some thousand at a time, and count them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"line": pa.int64(), "text": pa.string(), "hash": pa.uint64()})
    rows = ((line, cell) for line, (cell,) in iter_rows(path, [text], longest) if cell and cell.strip())
    count = 0
    with pq.ParquetWriter(folder / POOL_FILE, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            lines, texts = zip(*group, strict=True)
            hashes = [int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) for text in texts]
            writer.write_table(pa.table([pa.array(lines), pa.array(texts), pa.array(hashes, pa.uint64())], schema=schema))
            count += len(group)
    return count
