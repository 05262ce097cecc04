"""The pool: a task's unlabelled rows. Tasks that share a file share one pool, which is read and checked once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.readers import Rows, file_digest, iter_inputs
from fsat_tasks.inputs.formats import file_format
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.modality import Input
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.data.checks import Finding

__all__ = ["POOL", "POOL_FILE", "ROW_GROUP", "Pool", "build_pool", "pool_findings", "sample_rows"]

POOL, POOL_FILE = "unlabelled", "pool.parquet"
CHECKED_ROWS = 10_000
"""Number of rows at the start of the file that are checked. Faults that occur throughout the file show in these rows."""
SAMPLED = 500
"""Number of rows from everywhere in the file whose language is looked at."""
ROW_GROUP = 4096
"""Number of rows in memory at a time. It is limited because a pool may have any size."""


class Pool:
    """Unlabelled rows of a task. The pool is empty if the task has no file of unlabelled rows.

    Args:
        validated: artefact of the step `validate`.
        store: store that holds the pool.

    Raises:
        StoreError: if the pool is no longer in the store.
    """

    def __init__(self, validated: Artefact, store: Store) -> None:
        reference = validated.manifest["parents"].get("pool")
        self.artefact = reference and store.require(reference, "the pool of the task's data")
        self.size = int(validated.json("pool.json")["rows"])
        """Number of rows. Blank rows are not counted."""

    def draw(self, count: int, seed: int) -> NDArray[np.int64]:
        """Return the indices of the rows to use, in ascending order: all rows, or `count` rows if the pool has more.

        Each row gets a pseudo-random rank from the seed, its hash and the number of earlier rows
        that are the same. The rows with the lowest ranks are drawn. So a few new rows in the pool replace
        only a few of the drawn rows, and a smaller draw is a subset of a larger one.

        Args:
            count: maximum number of rows.
            seed: seed of the draw.
        """
        import numpy as np

        if self.artefact is None or self.size <= count:
            return np.arange(self.size)
        hashes = self.hashes()
        order = np.argsort(hashes, kind="stable")
        new = np.append(True, hashes[order[1:]] != hashes[order[:-1]])
        first = np.maximum.accumulate(np.where(new, np.arange(self.size), 0))  # (size,) start of each run of equal hashes
        repeat = np.empty(self.size, np.uint64)
        repeat[order] = np.arange(self.size) - first
        return np.sort(np.argpartition(_mix(hashes ^ _mix(repeat + _mix(np.array([seed], np.uint64)))), count)[:count])

    def inputs(self, rows: NDArray[np.int64]) -> Iterator[Input]:
        """Yield the rows with these indices, which must ascend. Only one group of rows is in memory at a time."""
        if self.artefact is not None:
            yield from _inputs_at(self.artefact, rows)

    def hashes(self) -> NDArray[np.uint64]:
        """Return a 64-bit hash of each row, (size,). A million rows take 8 MB."""
        import numpy as np
        import pyarrow.parquet as pq

        if self.artefact is None:
            return np.empty(0, np.uint64)
        found: NDArray[np.uint64] = pq.read_table(self.artefact.path / POOL_FILE, columns=["hash"])["hash"].to_numpy()
        return found


def build_pool(task: Task, store: Store) -> Artefact | None:
    """Return the pool of the task's unlabelled file, or None if the task has no such file.

    The artefact holds pool.parquet (line, notation and hash of each row that is not blank, in the file's order) and
    findings.json.

    Raises:
        DataError: if the file cannot be read.
    """
    path = task.file(POOL)
    if path is None:
        return None
    form = task.row_format()
    config = {"text": form.text, "max_characters": form.longest, "format": file_format(path), **task.inputs_config()}
    recipe = Recipe("pool", versions.POOL, config, {POOL: file_digest(path, store.sha256)})

    def write(folder: Path) -> dict[str, object]:
        from fsat_tasks.data.checks import check_rows
        from fsat_tasks.data.oddities import count_traits

        first = _first_rows(path, form)
        found = check_rows({POOL: first}, form.modality, task.spec.validation)
        write_json(folder / "findings.json", [finding.to_json() | {"file": POOL} for finding in found])
        return {"rows": _write_rows(path, form, folder), "scripts": dict(count_traits([first], form.modality))}

    return store.build(recipe, write)


def pool_findings(task: Task, made: Artefact, traits: Counter[str]) -> list[Finding]:
    """Return the findings of the data checks on the pool.

    Args:
        task: task that uses the pool.
        made: the pool, from `build_pool`.
        traits: result of `count_traits` for all files of the task except the pool. If the usual trait of all files together
            differs from that of the pool alone, the pool is checked again with the trait of all files.
    """
    from fsat_tasks.data.checks import Finding, check_rows
    from fsat_tasks.data.oddities import usual_trait

    own = Counter(made.manifest["notes"]["scripts"])
    path = task.file(POOL)
    assert path is not None
    if usual_trait(own) != usual_trait(traits + own):
        form = task.row_format()
        return check_rows({POOL: _first_rows(path, form)}, form.modality, task.spec.validation, traits)
    return [Finding(**{**found, "file": str(path), "lines": tuple(found["lines"])}) for found in made.json("findings.json")]


def sample_rows(task: Task, made: Artefact) -> Rows:
    """Return SAMPLED rows from everywhere in the pool, or all if it has fewer.

    Args:
        task: task that uses the pool.
        made: the pool, from `build_pool`.
    """
    import numpy as np

    size = int(made.manifest["notes"]["rows"])
    at = np.unique(np.linspace(0, size - 1, min(size, SAMPLED)).astype(np.int64))
    return Rows(str(task.file(POOL)), at.tolist(), list(_inputs_at(made, at)))


def _inputs_at(made: Artefact, rows: NDArray[np.int64]) -> Iterator[Input]:
    """Yield the rows of a pool with these indices, which must ascend."""
    import numpy as np
    import pyarrow.parquet as pq

    file = pq.ParquetFile(made.path / POOL_FILE)
    for group in np.unique(rows // ROW_GROUP).tolist():
        here = rows[rows // ROW_GROUP == group] - group * ROW_GROUP
        yield from file.read_row_group(group, columns=["text"])["text"].take(here).to_pylist()


def _first_rows(path: Path, form: RowFormat) -> Rows:
    rows = Rows(str(path))
    for line, row in itertools.islice(iter_inputs(path, form), CHECKED_ROWS):
        rows.lines.append(line)
        rows.inputs.append(row)
    return rows.required()


def _write_rows(path: Path, form: RowFormat, folder: Path) -> int:
    """Write the rows that are not blank to pool.parquet, ROW_GROUP rows at a time, and return their number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"line": pa.int64(), "text": pa.string(), "hash": pa.uint64()})
    rows = ((line, row) for line, row in iter_inputs(path, form) if row is not None)
    count = 0
    with pq.ParquetWriter(folder / POOL_FILE, schema) as writer:
        while group := list(itertools.islice(rows, ROW_GROUP)):
            lines, inputs = zip(*group, strict=True)
            hashes = [int.from_bytes(blake2b(row.encode(), digest_size=8).digest()) for row in inputs]
            writer.write_table(pa.table([pa.array(lines), pa.array(inputs), pa.array(hashes, pa.uint64())], schema=schema))
            count += len(group)
    return count


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit integers one to one, with the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
