"""Step 2, extract: the encoder's features of every text of the task.

Texts are encoded in shards of some thousand, each of which is kept by the row cache when it is done: a killed run goes on with
the next one, several workers may take a shard each, and a text that any run has encoded is not encoded again.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from fsat_tasks.encoder import Encoder
from fsat_tasks.encoder_source import find_encoder
from fsat_tasks.errors import DeviceError
from fsat_tasks.precision import task_encoder
from fsat_tasks.progress import progress
from fsat_tasks.session import pick_device
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.validate import POOL_FILE, ROW_GROUP, load_texts, pool_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.row_cache import RowCache

__all__ = ["draw_pool_rows", "encode_shard", "extract", "load_features", "load_pool_texts", "shard_count"]

log = logging.getLogger(__name__)

SHARD = 4096
"""Texts that are encoded, and held in memory, at a time."""

Device = Literal["cpu", "cuda"]
T = TypeVar("T")


def extract(task: Task, store: Store, validated: Artefact) -> Artefact:
    """Encode the texts, all layers.

    Writes features.npy, (texts, layers, dim): the texts of texts.parquet in their order, then the pool's rows that are used
    (`draw_pool_rows`). Labels play no part in it: a corrected label costs no encoder time.

    Raises:
        EncoderError, DeviceError: where the encoder or the device is not on this machine.
        OutOfMemoryError: where not even one row fits.
    """
    return _or_on_the_cpu(task, lambda device: _extract(task, store, validated, device))


def shard_count(task: Task, validated: Artefact) -> int:
    """Shards that the task's texts are encoded in."""
    texts = int(validated.manifest["notes"]["texts"])
    return -(-(texts + min(pool_size(validated), task.spec.tune.pool_rows)) // SHARD)


def encode_shard(task: Task, store: Store, validated: Artefact, shard: int) -> dict[str, int]:
    """Encode one shard of the task's texts into the row cache, where `extract` finds it; by any of several workers.

    Returns:
        How many texts were encoded, and how many were there already.
    """

    def encode(device: Device) -> dict[str, int]:
        cache = _open_cache(task, store, task_encoder(task, store, validated), device)
        texts = next(_shards(task, validated, first=shard), [])  # none, where the data shrank since it was numbered
        with progress(f"extract, shard {shard + 1} of {shard_count(task, validated)}", len(texts)) as report:
            cache.features(texts, report)
        return {"encoded": cache.encoded, "found": cache.found, "halved_batches": cache.halved}

    return _or_on_the_cpu(task, encode)


def _or_on_the_cpu(task: Task, work: Callable[[Device], T]) -> T:
    """The work on the task's device; on the CPU where a GPU is gone and the task says `device: auto`."""
    device = pick_device(task.spec.device)
    try:
        return work(device)
    except DeviceError as error:
        if device == "cpu" or task.spec.device != "auto":
            raise
        log.warning("%s Going on with the CPU, as device is auto.", error)
        return work("cpu")


def _extract(task: Task, store: Store, validated: Artefact, device: Device) -> Artefact:
    encoder = task_encoder(task, store, validated)
    pool, used = pool_size(validated), task.spec.tune.pool_rows
    recipe = Recipe(
        "extract", 2,
        config={"pool_rows": used, "seed": task.spec.seed} if pool > used else {},
        inputs={"texts": validated.sha256("texts.parquet"), "pool": validated.sha256(POOL_FILE),
                "encoder": encoder.sha256("encoder.onnx"), "tokenizer": encoder.sha256("tokenizer.json")},
        numeric_class=_numeric_class(encoder, device),
        parents={"validate": validated, "encoder": encoder},
    )  # fmt: skip

    def write(folder: Path) -> dict[str, float]:
        started = time.perf_counter()
        cache = _open_cache(task, store, encoder, device)
        rows = _write_features(task, validated, cache, folder / "features.npy")
        seconds = time.perf_counter() - started
        if cache.truncated:
            most = encoder.json("encoder.json")["max_tokens"]
            log.warning("%d of %d texts have more than the %d tokens that are read, and are cut", cache.truncated, rows, most)
        return {"rows": rows, "encoded": cache.encoded, "truncated": cache.truncated, "halved_batches": cache.halved,
                "rows_per_second": round(rows / seconds, 1)}  # fmt: skip

    return store.build(recipe, write)


def _numeric_class(encoder: Artefact, device: Device) -> str:
    from fsat_tasks.backends import numeric_class

    return numeric_class(device, encoder.json("encoder.json")["precision"])


def _open_cache(task: Task, store: Store, encoder: Artefact, device: Device) -> RowCache:
    from fsat_tasks.row_cache import RowCache

    source = find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens)
    return RowCache(store, Encoder(encoder, device, source), encoder)


def _write_features(task: Task, validated: Artefact, cache: RowCache, path: Path) -> int:
    """Write the features of all texts, a shard in memory at a time, and count them."""
    import numpy as np

    total = int(validated.manifest["notes"]["texts"]) + len(draw_pool_rows(task, validated))
    done = 0
    with path.open("wb") as file, progress("extract", total) as report:
        for texts in _shards(task, validated):
            features = cache.features(texts, functools.partial(_report_from, report, done))
            if done == 0:
                header = {"descr": features.dtype.str, "fortran_order": False, "shape": (total, *features.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(features.data)
            done += len(texts)
    return done


def _report_from(report: Callable[[int], None], before: int, rows: int) -> None:
    report(before + rows)


def draw_pool_rows(task: Task, validated: Artefact) -> NDArray[np.int64]:
    """Numbers of the pool's rows that are used, ascending: all, or as many as `tune.pool_rows` says, drawn by the seed."""
    import numpy as np

    size, used = pool_size(validated), task.spec.tune.pool_rows
    if size <= used:
        return np.arange(size)
    return np.sort(np.random.default_rng(task.spec.seed).choice(size, used, replace=False))


def load_pool_texts(validated: Artefact, rows: NDArray[np.int64]) -> Iterator[str]:
    """The texts of the pool's rows with these numbers, which ascend; a group of rows in memory at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    file = pq.ParquetFile(validated.path / POOL_FILE)
    for group in np.unique(rows // ROW_GROUP).tolist():
        here = rows[rows // ROW_GROUP == group] - group * ROW_GROUP
        yield from file.read_row_group(group, columns=["text"])["text"].take(here).to_pylist()


def _shards(task: Task, validated: Artefact, first: int = 0) -> Iterator[list[str]]:
    """The texts in shards, from the `first` one on."""
    texts, rows = load_texts(validated), draw_pool_rows(task, validated)
    for start in range(first * SHARD, len(texts) + len(rows), SHARD):
        own = texts[start : start + SHARD]
        pool = slice(max(start - len(texts), 0), max(start + SHARD - len(texts), 0))
        yield [*own, *load_pool_texts(validated, rows[pool])]


def load_features(extracted: Artefact) -> NDArray[np.floating]:
    """(texts, layers, dim), mapped into memory rather than read."""
    import numpy as np

    features: NDArray[np.floating] = np.load(extracted.path / "features.npy", mmap_mode="r", allow_pickle=False)
    return features
