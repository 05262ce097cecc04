"""Step 2, extract: the encoder's features of every text of the task.

Texts are encoded in shards of some thousand, each of which is kept by the row cache when it is done: a killed run goes on with
the next one, several workers may take a shard each, and a text that any run has encoded is not encoded again. The features
stay in the row cache, where the steps that follow read those that they need.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.pool import POOL_FILE, draw_pool_rows, find_pool, load_pool_texts, pool_size
from fsat_tasks.data.tables import load_texts
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.encoders.features import _numeric_class, _open_cache
from fsat_tasks.encoders.precision import task_encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.runtime.device import or_on_the_cpu
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CUDA_CLASSES
from fsat_tasks.runtime.progress import progress
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    from fsat_tasks.encoders.row_cache import RowCache

__all__ = ["encode_shard", "extract", "shard_counts"]

log = logging.getLogger(__name__)

SHARD = 4096
"""Texts that are encoded, and held in memory, at a time."""


def extract(task: Task, store: Store, validated: Artefact) -> Artefact:
    """Encode the texts, all layers: those of texts.parquet, and the pool's rows that are used (`draw_pool_rows`).

    Writes features.json: shape, type and sha256 of the features in this order, which `open_features` gives. Labels play no
    part in it: a corrected label costs no encoder time.

    Raises:
        EncoderError, DeviceError: where the encoder or the device is not on this machine.
        OutOfMemoryError: where not even one row fits.
    """
    if task.spec.device == "auto":  # a worker without a GPU goes on from what one with a GPU did
        encoder = export_encoder(find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens), store)
        found = store.find_first(_recipe(task, store, validated, encoder, ""), CUDA_CLASSES)
        if found is not None:
            return found
    return or_on_the_cpu(task.spec.device, lambda device: _extract(task, store, validated, device))


def shard_counts(task: Task, validated: Artefact) -> tuple[int, int]:
    """Shards that the texts of the task's small files are encoded in, and after them those of its pool."""
    return -(-_text_count(validated) // SHARD), -(-_pool_count(task, validated) // SHARD)


def _text_count(validated: Artefact) -> int:
    return int(validated.manifest["notes"]["texts"])


def _pool_count(task: Task, validated: Artefact) -> int:
    return min(pool_size(validated), task.spec.tune.pool_rows)


def encode_shard(task: Task, store: Store, validated: Artefact, shard: int) -> dict[str, int]:
    """Encode one shard of the task's texts into the row cache, where `extract` finds it; by any of several workers.

    Returns:
        How many texts were encoded, and how many were there already.
    """

    def encode(device: Device) -> dict[str, int]:
        encoder = task_encoder(task, store, validated)
        cache = _open_cache(task, store, encoder, _numeric_class(encoder, device))
        texts = next(_shards(task, validated, first=shard), [])  # none, where the data shrank since it was numbered
        with progress(f"extract, shard {shard + 1} of {sum(shard_counts(task, validated))}", len(texts)) as report:
            cache.features(texts, report)
        return {"encoded": cache.encoded, "found": cache.found, "halved_batches": cache.halved}

    return or_on_the_cpu(task.spec.device, encode)


def _extract(task: Task, store: Store, validated: Artefact, device: Device) -> Artefact:
    encoder = task_encoder(task, store, validated)
    recipe = _recipe(task, store, validated, encoder, _numeric_class(encoder, device))

    def write(folder: Path) -> dict[str, float]:
        started = time.perf_counter()
        cache = _open_cache(task, store, encoder, recipe.numeric_class)
        features = _encode(task, validated, cache)
        write_json(folder / "features.json", features)
        rows = features["shape"][0]
        seconds = time.perf_counter() - started
        if cache.truncated:
            most = encoder.json("encoder.json")["max_tokens"]
            log.warning("%d of %d texts have more than the %d tokens that are read, and are cut", cache.truncated, rows, most)
        return {
            "rows": rows,
            "encoded": cache.encoded,
            "truncated": cache.truncated,
            "halved_batches": cache.halved,
            "rows_per_second": round(rows / seconds, 1),
        }

    return store.build(recipe, write)


def _recipe(task: Task, store: Store, validated: Artefact, encoder: Artefact, numeric_class: str) -> Recipe:
    pool, used = find_pool(validated, store), task.spec.tune.pool_rows
    return Recipe(
        "extract",
        3,
        config={"pool_rows": used, "seed": task.spec.seed} if pool_size(validated) > used else {},
        inputs={
            "texts": validated.sha256("texts.parquet"),
            **({"pool": pool.sha256(POOL_FILE)} if pool else {}),
            "encoder": encoder.sha256("encoder.onnx"),
            "tokenizer": encoder.sha256("tokenizer.json"),
        },
        numeric_class=numeric_class,
        parents={"validate": validated, "encoder": encoder},
    )


def _encode(task: Task, validated: Artefact, cache: RowCache) -> dict[str, Any]:
    """Encode all texts, a shard in memory at a time. Returns shape, type and sha256 of their features."""
    done, content = 0, hashlib.sha256()
    with progress("extract", _text_count(validated) + _pool_count(task, validated)) as report:
        for texts in _shards(task, validated):
            content.update(cache.features(texts, functools.partial(_report_from, report, done)).data)
            done += len(texts)
    return {"shape": [done, *cache.shape], "type": cache.dtype.name, "sha256": content.hexdigest()}


def _report_from(report: Callable[[int], None], before: int, rows: int) -> None:
    report(before + rows)


def _shards(task: Task, validated: Artefact, first: int = 0) -> Iterator[list[str]]:
    """The texts in shards, from the `first` one on: those of the small files, then the pool's, which other tasks may share."""
    texts, (before, _) = load_texts(validated), shard_counts(task, validated)
    for start in range(first * SHARD, len(texts), SHARD):
        yield texts[start : start + SHARD]
    rows = draw_pool_rows(validated, task.spec.tune.pool_rows, task.spec.seed)
    for start in range(max(first - before, 0) * SHARD, len(rows), SHARD):
        yield list(load_pool_texts(validated, rows[start : start + SHARD]))
