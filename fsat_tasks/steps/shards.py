"""The encoding of many texts, shared out between workers."""

from __future__ import annotations

from collections.abc import Sequence

from fsat_tasks.errors import InputError
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.steps.pipeline import log, run_steps
from fsat_tasks.store import Store
from fsat_tasks.tasks.spec import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["run_shard", "shards"]


def shards(tasks: Sequence[Task]) -> list[tuple[int, int]]:
    """The work that is to be shared out before `extract`: pairs of a task's number and of a shard of its texts.

    A pool that several tasks have in common is there once; few texts are left to the step itself. A task whose data are not sound
    is left out: its own steps say what is wrong.
    """
    from fsat_tasks.data.pool import find_pool
    from fsat_tasks.encoders.precision import task_encoder
    from fsat_tasks.steps.extract import shard_counts

    found: dict[tuple[object, ...], tuple[int, int]] = {}
    store = Store(Workspace.from_env().store)
    for number, task in enumerate(tasks):
        try:
            validated = run_steps(task, "validate")["validate"]
        except InputError as error:
            log.warning("%s: %s", task.name, error)
            continue
        with store.in_use():
            encoder = task_encoder(task, store, validated)  # made once, and not by every worker at the same time
        of_texts, of_pool = shard_counts(task, validated)
        found |= {(number, shard): (number, shard) for shard in range(of_texts) if of_texts > 1}
        pool = find_pool(validated)
        if pool is not None:
            drawn = (pool.key, task.spec.tune.pool_rows, task.spec.seed, encoder.key, task.spec.device)
            for shard in range(of_pool):
                found.setdefault((*drawn, shard), (number, of_texts + shard))
    return list(found.values())


def run_shard(task: Task, shard: int) -> dict[str, int]:
    """Encode one shard; with all of them done, by whichever workers, the step `extract` only gathers them."""
    from fsat_tasks.steps.extract import encode_shard

    store = Store(Workspace.from_env().store)
    with store.in_use(), at_work(task.name, "encode"):
        return encode_shard(task, store, run_steps(task, "validate")["validate"], shard)
