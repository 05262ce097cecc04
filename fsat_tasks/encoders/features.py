"""The features of a task's texts: from the row cache, or encoded now and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.errors import DeviceError, StoreError
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CUDA_CLASSES, numeric_class
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.encoders.row_cache import RowCache

__all__ = ["class_here", "encoder_of", "open_encoder", "open_features"]


def _numeric_class(encoder: Artefact, device: Device) -> str:
    return numeric_class(device, encoder.json("encoder.json")["precision"])


def _open_cache(task: Task, store: Store, encoder: Artefact, numeric_class: str) -> RowCache:
    from fsat_tasks.encoders.row_cache import RowCache

    return RowCache(store, encoder, numeric_class, lambda: _open_encoder(task, encoder, numeric_class))


def _open_encoder(task: Task, encoder: Artefact, numeric_class: str) -> Encoder:
    """Raises DeviceError where this machine has nothing of that class: rows of two would be mixed."""
    device: Device = pick_device(task.spec.device) if "-cuda-" in numeric_class else "cpu"
    here = _numeric_class(encoder, device)
    if here != numeric_class:
        raise DeviceError(
            "device",
            f"{numeric_class}, which encoded the task's other texts",
            here,
            "Run where there is such a GPU, or with device: cpu.",
        )
    return Encoder(encoder, device, find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens))


def open_features(
    task: Task, store: Store, extracted: Artefact, numeric_class: str | None = None
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Texts -> features (n, layers, dim). Those that are not there, new or lost, are encoded and kept.

    Args:
        numeric_class: of what encodes; by default that of `extract`.

    Raises:
        DeviceError: where something is encoded, and this machine has nothing of that class.
    """
    cache = _open_cache(task, store, encoder_of(store, extracted), numeric_class or extracted.manifest["numeric_class"])
    return lambda texts: cache.features(texts).astype("float32")


def open_encoder(task: Task, store: Store, extracted: Artefact, device: Device) -> Encoder:
    """An encoder of the `class_here`, for texts that are no rows of the task: what it gives is not kept."""
    return _open_encoder(task, encoder_of(store, extracted), class_here(store, extracted, device))


def class_here(store: Store, extracted: Artefact, device: Device) -> str:
    """Numeric class of what encodes more texts on a device: on a GPU only where `extract` did."""
    on_gpu = device == "cuda" and extracted.manifest["numeric_class"] in CUDA_CLASSES
    return _numeric_class(encoder_of(store, extracted), "cuda" if on_gpu else "cpu")


def encoder_of(store: Store, extracted: Artefact) -> Artefact:
    """The encoder that the features are from. Raises StoreError where it is no longer in the store."""
    parent = extracted.manifest["parents"]["encoder"]
    encoder = store.find(parent["step"], parent["key"])
    if encoder is None:
        raise StoreError(f"store {store.root}", "the encoder that the features are from", "none that is whole", "Run again.")
    return encoder
