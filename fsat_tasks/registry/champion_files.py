"""Find the champion's files, or the run that made the champion. Checksums and signature of the champion are checked."""

from __future__ import annotations

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.published import find_published
from fsat_tasks.registry.registry import Registry
from fsat_tasks.registry.signature import check_signature
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["champion_model", "champion_run"]


def champion_model(task: str, store: Store | None = None) -> Artefact:
    """Return the artefact of the task's champion, after a check of its checksums and its signature.

    Args:
        task: name of the task.
        store: by default the one that FSAT_STORE names.

    Raises:
        RegistryError: no model is published yet; or the champion's files are missing or altered; or FSAT_SIGNING_KEY is
            set, and that key did not sign the champion's entry.
    """
    store = store or Store(Workspace.from_env().store)
    champion = Registry(store.root, task).champion()
    if champion is None:
        raise RegistryError(f"task {task!r}", "a published model", "none yet", f"Make one with: fsat run {task}.")
    check_signature(champion, task, f"champion of task {task!r}", f"fsat run {task} signs what it makes.")
    return find_published(store, task, champion["model"])


def champion_run(task: Task, store: Store) -> Run:
    """Return the run that made the champion, with the artefacts of `validate`, `extract`, `tune` and `export`.

    Raises:
        RegistryError: the task has no champion, or an artefact that the champion was made from is no longer in the store.
    """
    model = champion_model(task.name, store)
    tuned, validated = (find_published(store, task.name, model.parent(step)) for step in ("tune", "validate"))
    extracted = find_published(store, task.name, tuned.parent("extract"))
    return Run(task, store, {"validate": validated, "extract": extracted, "tune": tuned, "export": model})
