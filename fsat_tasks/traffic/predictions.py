"""Predict with a task's champion. Only the published ONNX model is used, and its checksums are verified."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from fsat_tasks.models.served import ServedModel
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.store import Store

__all__ = ["predict"]

BATCH = 64


def predict(task: str, texts: Iterable[str], store: Store | None = None) -> Iterator[dict[str, Any]]:
    """Yield one answer for each text, in order: the text, its label, the label's calibrated probability, and `in_scope`.

    Texts are read 64 at a time, so memory stays bounded even if the input never ends.

    Args:
        store: the store; by default the one that FSAT_STORE names.

    Raises:
        RegistryError: if the task has no champion, or if the champion's files are not the ones that were published.
    """
    model = ServedModel(champion_model(task, store).path)
    rest = iter(texts)
    while batch := list(itertools.islice(rest, BATCH)):
        for text, row, scope in zip(batch, *model.run(batch), strict=True):
            best = int(row.argmax())
            yield {
                "text": text,
                "label": model.labels[best],
                "probability": round(float(row[best]), 4),
                "in_scope": bool(scope >= model.scope_threshold),
            }
