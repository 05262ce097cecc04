"""Choose a task's encoder: float32, or int8 if the task asks for it and its samples keep their labels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.tables import CLASSES, load_split, load_texts
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_encoder, export_int8_encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.numeric_class import numeric_class
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["judge_precision", "task_encoder"]

log = logging.getLogger(__name__)

LEAST_AGREEMENT = 0.98
"""Minimum share of samples whose leave-one-out label is the same with both encoders."""
MOST_LOST = 0.01
"""Maximum loss of leave-one-out accuracy from float32 to int8."""


def task_encoder(task: Task, store: Store, validated: Artefact) -> Artefact:
    """Return the task's exported encoder, in int8 if the task asks for it and `judge_precision` accepts it."""
    encoder = export_encoder(find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens), store)
    if task.spec.encoder.precision == "fp32" or pick_device(task.spec.device) == "cuda":  # a GPU uses half precision
        return encoder
    int8 = export_int8_encoder(encoder, store)
    judged = judge_precision(store, validated, encoder, int8)
    verdict = judged.json("precision.json")
    if not verdict["accepted"] and judged.built:
        log.warning(
            "int8 is not used: %.1f %% of the left-out samples keep their label; accuracy changes from %.3f to %.3f",
            100 * verdict["agreement"],
            verdict["accuracy_fp32"],
            verdict["accuracy_int8"],
        )
    return int8 if verdict["accepted"] else encoder


def judge_precision(store: Store, validated: Artefact, encoder: Artefact, int8: Artefact) -> Artefact:
    """Compare the leave-one-out labels of the samples on the features of both encoders.

    Writes precision.json: whether int8 is accepted, the share of equal labels, both accuracies, the number of samples.
    """
    recipe = Recipe(
        "precision",
        2,
        config={"least_agreement": LEAST_AGREEMENT, "most_lost": MOST_LOST},
        inputs={
            "rows": validated.sha256("rows.parquet"),
            "texts": validated.sha256("texts.parquet"),
            "tokenizer": encoder.sha256("tokenizer.json"),
            "fp32": encoder.sha256("encoder.onnx"),
            "int8": int8.sha256("encoder.onnx"),
        },
        numeric_class="onnxruntime-cpu",
        parents={"validate": validated, "fp32": encoder, "int8": int8},
    )

    def write(folder: Path) -> dict[str, Any]:
        import numpy as np

        samples, classes = load_split(validated, "samples"), load_split(validated, CLASSES)
        labels = np.searchsorted(classes.labels, samples.labels)  # classes are sorted
        predicted = {
            name: _left_out_labels(store, validated, artefact, labels) for name, artefact in (("fp32", encoder), ("int8", int8))
        }
        agreement = float((predicted["fp32"] == predicted["int8"]).mean())
        right = {name: float((found == labels).mean()) for name, found in predicted.items()}
        accepted = agreement >= LEAST_AGREEMENT and right["int8"] >= right["fp32"] - MOST_LOST
        verdict = {
            "accepted": accepted,
            "agreement": agreement,
            "accuracy_fp32": right["fp32"],
            "accuracy_int8": right["int8"],
            "samples": len(labels),
        }
        write_json(folder / "precision.json", verdict)
        return verdict

    return store.build(recipe, write)


def _left_out_labels(store: Store, validated: Artefact, artefact: Artefact, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,) the frozen head's leave-one-out label of each sample, on the features of this encoder."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from fsat_tasks.encoders.row_cache import RowCache
    from fsat_tasks.numerics.heads.frozen import fit_frozen_head

    texts = load_texts(validated)
    precision = artefact.json("encoder.json")["precision"]
    cache = RowCache(store, artefact, numeric_class("cpu", precision), lambda: Encoder(artefact, "cpu"))
    rows = [load_split(validated, split).text_ids for split in ("samples", CLASSES)]
    shots, names = (cache.features([texts[i] for i in ids]).astype(np.float32) for ids in rows)
    with threadpool_limits(1):
        found: NDArray[np.int64] = fit_frozen_head(shots, labels, names).held_out.argmax(axis=1)
    return found
