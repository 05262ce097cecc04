"""The encoding of many texts, shared out between workers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fsat_tasks.errors import InputError
from fsat_tasks.runs.precision import export_chosen_encoder
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.steps.extract import encode_shard, shard_counts
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["run_shard", "shards"]

log = logging.getLogger(__name__)


def shards(tasks: Sequence[Task]) -> list[tuple[int, int]]:
    """The work that is to be shared out before `extract`: pairs of a task's number and of a shard of its texts.

    A pool that several tasks have in common is there once; few texts are left to the step itself. A task whose data are not sound
    is left out: its own steps say what is wrong.
    """
    found: dict[tuple[object, ...], tuple[int, int]] = {}
    store = Store(Workspace.from_env().store)
    for number, task in enumerate(tasks):
        try:
            run = Run(task, store, run_steps(task, "validate", store=store))
        except InputError as error:
            log.warning("%s: %s", task.name, error)
            continue
        with store.in_use():
            encoder = export_chosen_encoder(run)  # made once, and not by every worker at the same time
        of_texts, of_pool = shard_counts(run)
        found |= {(number, shard): (number, shard) for shard in range(of_texts) if of_texts > 1}
        if run.pool.artefact is not None:
            drawn = (run.pool.artefact.key, task.spec.tune.pool_rows, task.spec.seed, encoder.key, task.spec.device)
            for shard in range(of_pool):
                found.setdefault((*drawn, shard), (number, of_texts + shard))
    return list(found.values())


def run_shard(task: Task, shard: int) -> dict[str, int]:
    """Encode one shard; with all of them done, by whichever workers, the step `extract` only gathers them."""
    store = Store(Workspace.from_env().store)
    with store.in_use(), at_work(task.name, "encode"):
        return encode_shard(Run(task, store, run_steps(task, "validate", store=store)), shard)
