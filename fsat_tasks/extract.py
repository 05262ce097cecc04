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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.elsewhere import find_any
from fsat_tasks.encoder import Encoder
from fsat_tasks.encoder_export import export_encoder
from fsat_tasks.encoder_source import find_encoder
from fsat_tasks.errors import DeviceError, StoreError
from fsat_tasks.pool import POOL_FILE, ROW_GROUP, find_pool
from fsat_tasks.precision import task_encoder
from fsat_tasks.runtime.device import or_on_the_cpu, pick_device
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CUDA_CLASSES, numeric_class
from fsat_tasks.runtime.progress import progress
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task
from fsat_tasks.validate import load_texts, pool_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.row_cache import RowCache

__all__ = [
    "class_here", "draw_pool_rows", "encode_shard", "encoder_of", "extract", "load_pool_texts", "open_encoder", "open_features",
    "shard_counts",
]  # fmt: skip

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
        found = find_any(store, _recipe(task, store, validated, encoder, ""), CUDA_CLASSES)
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
        return {"rows": rows, "encoded": cache.encoded, "truncated": cache.truncated, "halved_batches": cache.halved,
                "rows_per_second": round(rows / seconds, 1)}  # fmt: skip

    return store.build(recipe, write)


def _recipe(task: Task, store: Store, validated: Artefact, encoder: Artefact, numeric_class: str) -> Recipe:
    pool, used = find_pool(validated, store), task.spec.tune.pool_rows
    return Recipe(
        "extract", 3,
        config={"pool_rows": used, "seed": task.spec.seed} if pool_size(validated) > used else {},
        inputs={"texts": validated.sha256("texts.parquet"), **({"pool": pool.sha256(POOL_FILE)} if pool else {}),
                "encoder": encoder.sha256("encoder.onnx"), "tokenizer": encoder.sha256("tokenizer.json")},
        numeric_class=numeric_class,
        parents={"validate": validated, "encoder": encoder},
    )  # fmt: skip


def _numeric_class(encoder: Artefact, device: Device) -> str:
    return numeric_class(device, encoder.json("encoder.json")["precision"])


def _open_cache(task: Task, store: Store, encoder: Artefact, numeric_class: str) -> RowCache:
    from fsat_tasks.row_cache import RowCache

    return RowCache(store, encoder, numeric_class, lambda: _open_encoder(task, encoder, numeric_class))


def _open_encoder(task: Task, encoder: Artefact, numeric_class: str) -> Encoder:
    """Raises DeviceError where this machine has nothing of that class: rows of two would be mixed."""
    device: Device = pick_device(task.spec.device) if "-cuda-" in numeric_class else "cpu"
    here = _numeric_class(encoder, device)
    if here != numeric_class:
        raise DeviceError("device", f"{numeric_class}, which encoded the task's other texts", here,
                          "Run where there is such a GPU, or with device: cpu.")  # fmt: skip
    return Encoder(encoder, device, find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens))


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


def draw_pool_rows(validated: Artefact, count: int, seed: int) -> NDArray[np.int64]:
    """Numbers of the pool's rows that are used, ascending: all, or `count` of them, drawn by the seed.

    Each row has a rank, by the hash of its text and how many rows with the same text came before; the lowest are drawn. So a
    pool with some new rows gives up as few of those that were drawn, and fewer rows are a part of more.
    """
    import numpy as np
    import pyarrow.parquet as pq

    pool, size = find_pool(validated), pool_size(validated)
    if pool is None or size <= count:
        return np.arange(size)
    hashes = pq.read_table(pool.path / POOL_FILE, columns=["hash"])["hash"].to_numpy()
    order = np.argsort(hashes, kind="stable")
    new = np.append(True, hashes[order[1:]] != hashes[order[:-1]])
    first = np.maximum.accumulate(np.where(new, np.arange(size), 0))  # where the run of equal hashes starts
    repeat = np.empty(size, np.uint64)
    repeat[order] = np.arange(size) - first
    return np.sort(np.argpartition(_mix(hashes ^ _mix(repeat + _mix(np.array([seed], np.uint64)))), count)[:count])


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter whole numbers evenly, one to one: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    import numpy as np

    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def load_pool_texts(validated: Artefact, rows: NDArray[np.int64]) -> Iterator[str]:
    """The texts of the pool's rows with these numbers, which ascend; a group of rows in memory at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    pool = find_pool(validated)
    if pool is None:
        return
    file = pq.ParquetFile(pool.path / POOL_FILE)
    for group in np.unique(rows // ROW_GROUP).tolist():
        here = rows[rows // ROW_GROUP == group] - group * ROW_GROUP
        yield from file.read_row_group(group, columns=["text"])["text"].take(here).to_pylist()


def _shards(task: Task, validated: Artefact, first: int = 0) -> Iterator[list[str]]:
    """The texts in shards, from the `first` one on: those of the small files, then the pool's, which other tasks may share."""
    texts, (before, _) = load_texts(validated), shard_counts(task, validated)
    for start in range(first * SHARD, len(texts), SHARD):
        yield texts[start : start + SHARD]
    rows = draw_pool_rows(validated, task.spec.tune.pool_rows, task.spec.seed)
    for start in range(max(first - before, 0) * SHARD, len(rows), SHARD):
        yield list(load_pool_texts(validated, rows[start : start + SHARD]))


def open_features(
    task: Task, store: Store, extracted: Artefact, numeric_class: str | None = None
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Texts -> features (n, layers, dim). Those that are not there, new or lost, are encoded and kept.

    Args:
        numeric_class: of what encodes; by default that of `extract`.

    Raises:
        DeviceError: where something is encoded, and this machine has nothing of that class.
    """
    cache = _open_cache(task, store, encoder_of(store, extracted), numeric_class or extracted.manifest["numeric_class"])
    return lambda texts: cache.features(texts).astype("float32")


def open_encoder(task: Task, store: Store, extracted: Artefact, device: Device) -> Encoder:
    """An encoder of the `class_here`, for texts that are no rows of the task: what it gives is not kept."""
    return _open_encoder(task, encoder_of(store, extracted), class_here(store, extracted, device))


def class_here(store: Store, extracted: Artefact, device: Device) -> str:
    """Numeric class of what encodes more texts on a device: on a GPU only where `extract` did."""
    on_gpu = device == "cuda" and extracted.manifest["numeric_class"] in CUDA_CLASSES
    return _numeric_class(encoder_of(store, extracted), "cuda" if on_gpu else "cpu")


def encoder_of(store: Store, extracted: Artefact) -> Artefact:
    """The encoder that the features are from. Raises StoreError where it is no longer in the store."""
    parent = extracted.manifest["parents"]["encoder"]
    encoder = store.find(parent["step"], parent["key"])
    if encoder is None:
        raise StoreError(f"store {store.root}", "the encoder that the features are from", "none that is whole", "Run again.")
    return encoder
