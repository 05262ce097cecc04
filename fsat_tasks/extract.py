"""Step 2, extract: the encoder's features of every different text of the task."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.encoder import Encoder
from fsat_tasks.encoder_export import export_encoder
from fsat_tasks.encoder_source import find_encoder
from fsat_tasks.progress import progress
from fsat_tasks.session import pick_device
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.validate import load_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["extract", "load_features", "task_encoder"]


def extract(task: Task, store: Store, validated: Artefact) -> Artefact:
    """Encode the texts, all layers, with ONNX Runtime.

    Writes features.npy, (texts, layers, dim) float32, in the order of texts.parquet. Labels play no part in it: a
    corrected label costs no encoder time.

    Raises:
        EncoderError, DeviceError: where the encoder or the device is not on this machine.
        OutOfMemoryError: where not even one batch fits.
    """
    encoder = task_encoder(task, store)
    device = pick_device(task.spec.device)
    recipe = Recipe(
        "extract", 1,
        config={},
        inputs={"texts": validated.sha256("texts.parquet"), "encoder": encoder.sha256("encoder.onnx"),
                "tokenizer": encoder.sha256("tokenizer.json")},
        numeric_class=f"onnxruntime-{device}-fp32",
        parents={"validate": validated, "encoder": encoder},
    )  # fmt: skip

    def write(folder: Path) -> dict[str, float]:
        import numpy as np

        texts = load_texts(validated)
        started = time.perf_counter()
        with progress("extract", len(texts)) as report:
            features = Encoder(encoder, device).encode(texts, "all", report)
        np.save(folder / "features.npy", features, allow_pickle=False)
        return {"rows": len(texts), "rows_per_second": round(len(texts) / (time.perf_counter() - started), 1)}

    return store.build(recipe, write)


def task_encoder(task: Task, store: Store) -> Artefact:
    """The task's encoder as ONNX, exported the first time."""
    return export_encoder(find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens), store)


def load_features(extracted: Artefact) -> NDArray[np.float32]:
    """(texts, layers, dim), mapped into memory rather than read."""
    import numpy as np

    features: NDArray[np.float32] = np.load(extracted.path / "features.npy", mmap_mode="r", allow_pickle=False)
    return features
