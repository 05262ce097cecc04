"""Predict with a task's champion: the published ONNX alone, its checksums verified."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from fsat_tasks.errors import RegistryError
from fsat_tasks.models.served import ServedModel
from fsat_tasks.registry import Registry, find_published
from fsat_tasks.signature import check_signature
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["champion_model", "predict"]

BATCH = 64


def predict(task: str, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield, for each text in order, the text, its label, the label's calibrated probability, and whether the text is in scope.

    Texts are taken 64 at a time, so memory stays bounded on an endless input.

    Raises:
        RegistryError: where the task has no champion, or its files are not the ones that were published.
    """
    model = ServedModel(champion_model(task).path)
    rest = iter(texts)
    while batch := list(itertools.islice(rest, BATCH)):
        for text, row, scope in zip(batch, *model.run(batch), strict=True):
            best = int(row.argmax())
            yield {"text": text, "label": model.labels[best], "probability": round(float(row[best]), 4),
                   "in_scope": bool(scope >= model.scope_threshold)}  # fmt: skip


def champion_model(task: str) -> Artefact:
    """The model folder that the task's champion points to; where FSAT_SIGNING_KEY is set, only if that key signed it."""
    store = Store(Workspace.from_env().store)
    champion = Registry(store.root, task).champion()
    if champion is None:
        raise RegistryError(f"task {task!r}", "a published model", "none yet", f"Make one with: fsat run {task}.")
    check_signature(champion, task, f"champion of task {task!r}", f"fsat run {task} signs what it makes.")
    return find_published(store, task, champion["model"])
