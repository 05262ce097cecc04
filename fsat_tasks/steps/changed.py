"""Find the tasks that are not done. A task is not done if its run would make an artefact or add a decision to the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fsat_tasks.errors import InputError
from fsat_tasks.registry.history import number_of
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.order import STEPS
from fsat_tasks.store.lookup import LookupStore, NotMadeError
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["changed_tasks", "is_done"]


def is_done(task: Task, store: LookupStore | None = None) -> bool:
    """Return True if the store has every step's artefact, and the registry has an entry for them.

    The entry is either the decision of `publish`, or a version whose model is the exported one.

    Args:
        store: store to search; by default the one that FSAT_STORE names.
    """
    run = Run(replace(task, dry_run=True), store or LookupStore(Workspace.from_env().store))
    try:
        for name, step in STEPS.items():
            run.artefacts[name] = step(run)
    except NotMadeError:
        return False
    history = Registry(run.store.root, task.name).history()
    decided = any(entry["decision"]["key"] == run.artefacts["publish"].key for entry in history)
    return decided or number_of(history, run.exported.digest) is not None


def changed_tasks(names: Sequence[str] = (), load: Callable[[str], Task] = load_task) -> list[str]:
    """Return the names of the tasks that are not done, in the order of `names`.

    A task with bad input counts as not done. Its run will fail, and the error says what is wrong with the input.

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
    except InputError:
        return False
