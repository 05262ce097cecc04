"""Divide the encoding of many texts between workers. A worker encodes one block of texts, a shard, at a time."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fsat_tasks.errors import FsatError
from fsat_tasks.runs.precision import export_chosen_encoder
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.steps.extract import encode_shard, shard_counts
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["list_shards", "run_shard"]

log = logging.getLogger(__name__)


def list_shards(tasks: Sequence[Task], store: Store | None = None) -> list[tuple[int, int]]:
    """List the shards that workers may encode before `extract` runs.

    Shards of a pool that several tasks share are listed once. The texts of a task's samples, query rows and out-of-scope rows
    have shards of their own. If these texts fit in one shard, that shard is not listed, and `extract` encodes it. A task that
    fails here, for example because its encoder is not on this machine, is left out. Its own steps say what is wrong.

    Args:
        store: the store; by default the one that FSAT_STORE names.

    Returns:
        pairs of numbers: the index of a task in `tasks`, and the number of one of this task's shards.
    """
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    store = store or Store(Workspace.from_env().store)
    for number, task in enumerate(tasks):
        try:
            shards = _shards_of(task, store)
        except FsatError as error:
            log.warning("%s: %s", task.name, error)
        except Exception:
            log.exception("%s failed", task.name)
        else:
            for shard, rows in shards.items():
                found.setdefault(rows or (number, shard), (number, shard))
    return list(found.values())


def _shards_of(task: Task, store: Store) -> dict[int, tuple[object, ...]]:
    """Return the number of each shard of a task, with what its rows are if other tasks may have the same shard."""
    run = Run(task, store, run_steps(task, "validate", store=store))
    with store.in_use():
        encoder = export_chosen_encoder(run)  # done here once, because otherwise every worker would export it
    of_texts, of_pool = shard_counts(run)
    found: dict[int, tuple[object, ...]] = {shard: () for shard in range(of_texts) if of_texts > 1}
    if run.pool.artefact is not None:
        drawn = (run.pool.artefact.key, task.spec.tune.pool_rows, task.spec.seed, encoder.key, task.spec.device)
        found |= {of_texts + shard: (*drawn, shard) for shard in range(of_pool)}
    return found


def run_shard(task: Task, shard: int, store: Store | None = None) -> dict[str, int]:
    """Encode one shard. When all shards are encoded, the step `extract` only reads their features from the row cache."""
    store = store or Store(Workspace.from_env().store)
    with store.in_use(), at_work(task.name, "encode"):
        return encode_shard(Run(task, store, run_steps(task, "validate", store=store)), shard)
