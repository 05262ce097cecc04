"""The pool: a task's unlabelled rows. Tasks that share a file share one pool, which is read and checked once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.data.readers import Rows, iter_rows
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.data.checks import Finding

__all__ = ["POOL", "POOL_FILE", "ROW_GROUP", "Pool", "build_pool", "pool_findings"]

POOL, POOL_FILE = "unlabelled", "pool.parquet"
CHECKED_ROWS = 10_000
"""Number of rows at the start of the file that are checked. Faults that occur throughout the file show in these rows."""
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
        """Number of rows. Rows without a text are not counted."""

    def draw(self, count: int, seed: int) -> NDArray[np.int64]:
        """Return the indices of the rows to use, in ascending order: all rows, or `count` rows if the pool has more.

        Each row gets a pseudo-random rank from the seed, the hash of its text and the number of earlier rows
        with this text. The rows with the lowest ranks are drawn. So a few new rows in the pool replace
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

    def texts(self, rows: NDArray[np.int64]) -> Iterator[str]:
        """Yield the texts of the rows with these indices, which must ascend. Only one group of rows is in memory at a time."""
        import numpy as np
        import pyarrow.parquet as pq

        if self.artefact is None:
            return
        file = pq.ParquetFile(self.artefact.path / POOL_FILE)
        for group in np.unique(rows // ROW_GROUP).tolist():
            here = rows[rows // ROW_GROUP == group] - group * ROW_GROUP
            yield from file.read_row_group(group, columns=["text"])["text"].take(here).to_pylist()

    def hashes(self) -> NDArray[np.uint64]:
        """Return a 64-bit hash of each row's text, (size,). A million rows take 8 MB."""
        import numpy as np
        import pyarrow.parquet as pq

        if self.artefact is None:
            return np.empty(0, np.uint64)
        found: NDArray[np.uint64] = pq.read_table(self.artefact.path / POOL_FILE, columns=["hash"])["hash"].to_numpy()
        return found


def build_pool(task: Task, store: Store) -> Artefact | None:
    """Return the pool of the task's unlabelled file, or None if the task has no such file.

    The artefact holds pool.parquet (line, text and hash of each row with a text, in the file's order) and
    findings.json.

    Raises:
        DataError: if the file cannot be read.
    """
    path = task.file(POOL)
    if path is None:
        return None
    text, longest = task.spec.text, task.spec.validation.max_characters
    config = {"text": text, "max_characters": longest, "format": path.suffix}
    recipe = Recipe("pool", versions.POOL, config, {POOL: store.sha256(path)})

    def write(folder: Path) -> dict[str, object]:
        from fsat_tasks.data.checks import check_rows
        from fsat_tasks.data.oddities import count_scripts

        first = _first_rows(path, text, longest)
        found = check_rows({POOL: first}, task.spec.validation)
        write_json(folder / "findings.json", [finding.to_json() | {"file": POOL} for finding in found])
        return {"rows": _write_rows(path, text, longest, folder), "scripts": dict(count_scripts([first]))}

    return store.build(recipe, write)


def pool_findings(task: Task, made: Artefact, scripts: Counter[str]) -> list[Finding]:
    """Return the findings of the data checks on the pool.

    Args:
        task: task that uses the pool.
        made: the pool, from `build_pool`.
        scripts: result of `count_scripts` for all files of the task except the pool. If the common script of all files together
            differs from that of the pool alone, the pool is checked again with the script of all files.
    """
    from fsat_tasks.data.checks import Finding, check_rows
    from fsat_tasks.data.oddities import common_script

    own = Counter(made.manifest["notes"]["scripts"])
    path = task.file(POOL)
    assert path is not None
    if common_script(own) != common_script(scripts + own):
        first = _first_rows(path, task.spec.text, task.spec.validation.max_characters)
        return check_rows({POOL: first}, task.spec.validation, scripts)
    return [Finding(**{**found, "file": str(path), "lines": tuple(found["lines"])}) for found in made.json("findings.json")]


def _first_rows(path: Path, text: str, longest: int) -> Rows:
    rows = Rows(str(path))
    for line, (cell,) in itertools.islice(iter_rows(path, [text], longest), CHECKED_ROWS):
        rows.lines.append(line)
        rows.texts.append(cell)
    return rows


def _write_rows(path: Path, text: str, longest: int, folder: Path) -> int:
    """Write the rows that have a text to pool.parquet, ROW_GROUP rows at a time, and return their number."""
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


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit integers one to one, with the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
