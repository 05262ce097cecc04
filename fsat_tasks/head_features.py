"""The features that a tuned head takes: the extracted ones, or those of the tuned body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from fsat_tasks.encoder import Encoder
from fsat_tasks.extract import open_features
from fsat_tasks.session import onnxruntime_runs_on_cuda, pick_device
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["head_device", "open_head_features"]


def head_device(task: Task) -> Literal["cpu", "cuda"]:
    """Where a tuned encoder runs: it has no folder of its own, which torch would need."""
    device = pick_device(task.spec.device)
    return device if device == "cpu" or onnxruntime_runs_on_cuda() else "cpu"


def open_head_features(
    task: Task, store: Store, extracted: Artefact, tuned: Artefact
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Texts of the task -> features (n, layers, dim)."""
    if "encoder.onnx" not in tuned.manifest["files"]:
        return open_features(task, store, extracted)
    encoder = Encoder(tuned, head_device(task))
    return lambda texts: encoder.encode(list(texts), "all")
