"""Step 2, extract: encode every row of the task.

Rows are encoded in shards of 4,096, and the row cache keeps each finished shard. After a run is killed, the next run continues
with the first shard that is missing. Several workers may run at once, each on its own shard. A row that any run has encoded is
not encoded again. Later steps read the features that they need from the row cache.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.pool import POOL_FILE
from fsat_tasks.encoders.artefact import preparer_inputs, size_limit
from fsat_tasks.encoders.cuts import say_cut
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.inputs.modality import Input
from fsat_tasks.runs.precision import export_chosen_encoder
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import or_on_the_cpu
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CUDA_CLASSES, NumericClass, encoding_class
from fsat_tasks.runtime.progress import show_progress
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json

if TYPE_CHECKING:
    from fsat_tasks.encoders.row_cache import RowCache

__all__ = ["encode_shard", "extract", "shard_counts"]

log = logging.getLogger(__name__)

SHARD = 4096
"""Number of rows that are encoded, and held in memory, at a time."""
LINES = 10
"""Maximum number of lines of a file that a warning names."""


def extract(run: Run) -> Artefact:
    """Encode the rows of the task's small files and its class anchors, then the rows drawn from the unlabelled pool.

    The small files are those of the samples, the query rows and the out-of-scope rows. The row cache keeps the features of all
    layers. Writes features.json: the shape, the type and the sha256 of all features, with the small files and class anchors first
    and the pool rows last. `Run.features` returns the features themselves. Writes cut.json, which says what was longer than the
    encoder reads: the `text_id` of each such row of the small files, and the number of such pool rows.
    The result does not depend on labels, so a corrected label costs no encoder time.

    Raises:
        EncoderError, DeviceError: if the encoder or the device is not on this machine.
        OutOfMemoryError: if not even one row fits in memory.
    """
    device = run.task.spec.device
    if device == "auto":  # a worker without a GPU uses the result that a worker with a GPU has made
        recipe = _recipe(run, export_encoder(run.source, run.store), None)
        found = run.store.find_first(recipe, CUDA_CLASSES)
        if found is not None:
            return found
    return or_on_the_cpu(device, lambda picked: _extract(run, picked))


def encode_shard(run: Run, shard: int) -> dict[str, int]:
    """Encode one shard of the task's rows into the row cache, where `extract` finds it. Any worker may call this.

    Args:
        shard: number of the shard, from 0.

    Returns:
        `encoded`, the number of rows that were encoded; `found`, the number of rows that the cache had; and `halved_batches`,
        the number of batches that were halved because memory ran out.
    """

    def encode(device: Device) -> dict[str, int]:
        cache = _open_cache(run, device)
        inputs = next(_shards(run, first=shard), [])  # empty if the data has shrunk since the shards were listed
        with show_progress(f"extract, shard {shard + 1} of {sum(shard_counts(run))}", len(inputs)) as report:
            cache.features(inputs, report)
        return {"encoded": cache.encoded, "found": cache.found, "halved_batches": cache.halved}

    return or_on_the_cpu(run.task.spec.device, encode)


def shard_counts(run: Run) -> tuple[int, int]:
    """Return the number of shards of the small files, and the number of shards of the pool. The pool's shards come last."""
    return -(-_row_count(run) // SHARD), -(-_pool_count(run) // SHARD)


def _extract(run: Run, device: Device) -> Artefact:
    encoder = export_chosen_encoder(run)
    recipe = _recipe(run, encoder, encoding_class(device, encoder.json("encoder.json")["precision"]))

    def write(folder: Path) -> dict[str, float]:
        started = time.perf_counter()
        cache = _open_cache(run, device)
        features, cut = _encode(run, cache)
        write_json(folder / "features.json", features)
        write_json(folder / "cut.json", cut)
        rows, truncated = features["shape"][0], len(cut["texts"]) + cut["unlabelled"]
        seconds = time.perf_counter() - started
        if truncated:
            said = say_cut(truncated, rows, run.task.modality.noun, size_limit(encoder))
            log.warning("%s%s", said, _where(run.tables.lines_of(cut["texts"])))
        return {
            "rows": rows,
            "encoded": cache.encoded,
            "truncated": truncated,
            "halved_batches": cache.halved,
            "rows_per_second": round(rows / seconds, 1),
        }

    return run.store.build(recipe, write)


def _recipe(run: Run, encoder: Artefact, numeric_class: NumericClass | None) -> Recipe:
    pool, used = run.pool, run.task.spec.tune.pool_rows
    return Recipe(
        "extract",
        versions.EXTRACT,
        config={"pool_rows": used, "seed": run.task.spec.seed} if pool.size > used else {},
        inputs={
            "texts": run.validated.sha256("texts.parquet"),
            **({"pool": pool.artefact.sha256(POOL_FILE)} if pool.artefact else {}),
            **preparer_inputs(encoder),
        },
        numeric_class=numeric_class,
        parents={"validate": run.validated, "encoder": encoder},
    )


def _open_cache(run: Run, device: Device) -> RowCache:
    encoder = export_chosen_encoder(run)
    return run.open_cache(encoder, encoding_class(device, encoder.json("encoder.json")["precision"]))


def _where(lines: dict[str, list[int]]) -> str:
    """Return the lines of each split in words."""
    return "".join(
        f"; {split}: line{'s' if len(some) > 1 else ''} {', '.join(map(str, some[:LINES]))}{' ...' if len(some) > LINES else ''}"
        for split, some in lines.items()
    )


def _encode(run: Run, cache: RowCache) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encode all rows, one shard in memory at a time. Returns the contents of features.json and cut.json."""
    done, content, cut = 0, hashlib.sha256(), list[int]()
    with show_progress("extract", _row_count(run) + _pool_count(run)) as report:
        for inputs in _shards(run):
            features, mask = cache.features_and_cuts(inputs, functools.partial(_report_from, report, done))
            content.update(features.data)
            cut += [done + int(row) for row in mask.nonzero()[0]]
            done += len(inputs)
    ids = run.tables.text_ids(run.source.reads_words)
    return (
        {"shape": [done, *cache.shape], "type": cache.dtype.name, "sha256": content.hexdigest()},
        {"texts": [ids[row] for row in cut if row < len(ids)], "unlabelled": sum(row >= len(ids) for row in cut)},
    )


def _report_from(report: Callable[[int], None], before: int, rows: int) -> None:
    report(before + rows)


def _shards(run: Run, first: int = 0) -> Iterator[list[Input]]:
    """Yield the rows of each shard, from shard `first` on. Shards of the small files come first, then those of the pool.

    No shard has rows of both the small files and the pool, because other tasks may share the pool's shards.
    """
    inputs, (before, _) = run.tables.encoded(run.source.reads_words), shard_counts(run)
    for start in range(first * SHARD, len(inputs), SHARD):
        yield inputs[start : start + SHARD]
    rows = run.pool.draw(run.task.spec.tune.pool_rows, run.task.spec.seed)
    for start in range(max(first - before, 0) * SHARD, len(rows), SHARD):
        yield list(run.pool.inputs(rows[start : start + SHARD]))


def _row_count(run: Run) -> int:
    return len(run.tables.encoded(run.source.reads_words))


def _pool_count(run: Run) -> int:
    return min(run.pool.size, run.task.spec.tune.pool_rows)
