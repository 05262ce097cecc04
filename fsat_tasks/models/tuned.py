"""The features that a tuned head takes: the extracted ones, or those of the tuned body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.features import encoder_of, open_features
from fsat_tasks.errors import StoreError
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["head_device", "open_head_features", "tuned_encoder"]


def head_device(device: Device) -> Device:
    """Where a tuned encoder runs, for the device that was picked: it has no folder of its own, which torch would need."""
    return device if device == "cpu" or onnxruntime_runs_on_cuda() else "cpu"


def open_head_features(
    task: Task, store: Store, extracted: Artefact, tuned: Artefact, device: Device
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Texts of the task -> features (n, layers, dim); the device is for a tuned body's."""
    if "encoder.onnx" not in tuned.manifest["files"]:
        return open_features(task, store, extracted)
    encoder = Encoder(tuned, head_device(device))
    return lambda texts: encoder.encode(list(texts), "all")


def tuned_encoder(store: Store, tuned: Artefact) -> Artefact:
    """The encoder that the head's features come from: with the tuned body, or as it was pretrained."""
    if "encoder.onnx" in tuned.manifest["files"]:
        return tuned
    parent = tuned.manifest["parents"]["extract"]
    extracted = store.find(parent["step"], parent["key"])
    if extracted is None:
        raise StoreError(f"store {store.root}", "the features that the head is from", "none that are whole", "Run again.")
    return encoder_of(store, extracted)
