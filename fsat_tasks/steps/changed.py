"""Find the tasks that are not done. A task is not done if its run would make an artefact or add a decision to the registry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from fsat_tasks.errors import FsatError
from fsat_tasks.registry.history import number_of
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.failures import say_type
from fsat_tasks.steps.order import steps_until
from fsat_tasks.store.lookup import LookupStore, NotMadeError
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["changed_tasks", "is_done", "unmade_steps"]

log = logging.getLogger(__name__)


def unmade_steps(task: Task, store: LookupStore, last: str = "publish") -> tuple[Run, list[str]]:
    """Return a run with all artefacts that the store has, and the steps up to `last` whose artefacts a run would make."""
    run, steps = Run(replace(task, dry_run=True), store), steps_until(last)
    try:
        for name, step in steps:
            run.artefacts[name] = step(run)
    except NotMadeError:
        pass
    return run, [name for name, _ in steps if name not in run.artefacts]


def is_done(task: Task, store: LookupStore | None = None) -> bool:
    """Return True if the store has every step's artefact, and the registry has an entry for them.

    The entry is either the decision of `publish`, or a version whose model is the exported one.

    Args:
        store: store to search; by default the one that FSAT_STORE names.
    """
    run, unmade = unmade_steps(task, store or LookupStore(Workspace.from_env().store))
    if unmade:
        return False
    history = Registry(run.store.root, task.name).history()
    decided = any(entry["decision"]["key"] == run.artefacts["publish"].key for entry in history)
    return decided or number_of(history, run.exported.digest) is not None


def changed_tasks(names: Sequence[str] = (), load: Callable[[str], Task] = load_task) -> list[str]:
    """Return the names of the tasks that are not done, in the order of `names`.

    A task that cannot be looked at, for example because its input is bad, counts as not done. Its run will fail, and the error
    says why.

    Args:
        names: names of the tasks to look at; by default all tasks.
        load: loads a task by its name, with the run's options.
    """
    workspace = Workspace.from_env()
    store = LookupStore(workspace.store)
    return [name for name in names or workspace.task_names() if not _is_done_by_name(name, load, store)]


def _is_done_by_name(name: str, load: Callable[[str], Task], store: LookupStore) -> bool:
    try:
        return is_done(load(name), store)
    except FsatError:
        return False
    except Exception as error:
        log.warning("%s: cannot tell whether it has changed: %s", name, say_type(error))
        return False
