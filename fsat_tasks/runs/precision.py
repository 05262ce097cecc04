"""Choose a task's encoder: int8 if the task asks for it and its samples' predicted labels hardly change, otherwise float32."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fsat_tasks.encoders.artefact import preparer_inputs
from fsat_tasks.encoders.export import export_encoder, export_int8_encoder
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.numeric_class import NumericClass, encoding_class
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json
from fsat_tasks.targets.target import Rule

__all__ = ["export_chosen_encoder"]

log = logging.getLogger(__name__)

LEAST_AGREEMENT = 0.98
"""Minimum share of samples whose leave-one-out label is the same with both encoders."""
MOST_LOST = 0.01
"""Maximum loss of leave-one-out accuracy from float32 to int8."""


def export_chosen_encoder(run: Run) -> Artefact:
    """Return the task's exported encoder, in int8 if the task asks for it and its samples' predicted labels hardly change."""
    encoder = export_encoder(run.source, run.store)
    spec = run.task.spec
    if spec.encoder.precision == "fp32" or pick_device(spec.device) == "cuda":  # a GPU always uses half precision
        return encoder
    int8 = export_int8_encoder(encoder, run.store)
    judged = _judge(run, encoder, int8)
    verdict = judged.json("precision.json")
    if not verdict["accepted"] and judged.built:
        log.warning(
            "int8 is not used: %.1f %% of the left-out samples get the same label as with float32; accuracy %.3f becomes %.3f",
            100 * verdict["agreement"],
            verdict["accuracy_fp32"],
            verdict["accuracy_int8"],
        )
    return int8 if verdict["accepted"] else encoder


def _judge(run: Run, encoder: Artefact, int8: Artefact) -> Artefact:
    """Compare the leave-one-out labels that the samples get with the float32 encoder and with the int8 encoder.

    Writes precision.json: whether int8 is accepted, the share of equal labels, both accuracies and the number of samples.
    """
    validated, preparer = run.validated, preparer_inputs(encoder)
    fp32 = preparer.pop("encoder")
    recipe = Recipe(
        "precision",
        versions.PRECISION,
        config={"least_agreement": LEAST_AGREEMENT, "most_lost": MOST_LOST},
        inputs={
            "rows": validated.sha256("rows.parquet"),
            "texts": validated.sha256("texts.parquet"),
            **preparer,
            "fp32": fp32,
            "int8": int8.sha256("encoder.onnx"),
        },
        numeric_class=NumericClass("onnxruntime", "cpu"),
        parents={"validate": validated, "fp32": encoder, "int8": int8},
    )

    def write(folder: Path) -> dict[str, Any]:
        target, labels, classes = run.target, run.tables.samples.labels, run.tables.classes.labels
        within = target.within(Rule(classes, {}))
        before, after = (_left_out_labels(run, artefact) for artefact in (encoder, int8))
        agreement = float((target.errors(before, after, classes) <= within).mean())
        accuracy_fp32, accuracy_int8 = (
            float((target.errors(labels, found, classes) <= within).mean()) for found in (before, after)
        )
        verdict = {
            "accepted": agreement >= LEAST_AGREEMENT and accuracy_int8 >= accuracy_fp32 - MOST_LOST,
            "agreement": agreement,
            "accuracy_fp32": accuracy_fp32,
            "accuracy_int8": accuracy_int8,
            "samples": len(labels),
        }
        write_json(folder / "precision.json", verdict)
        return verdict

    return run.store.build(recipe, write)


def _left_out_labels(run: Run, encoder: Artefact) -> list[str]:
    """Return the label that a frozen head fitted without the sample predicts for it from this encoder's features."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    cache = run.open_cache(encoder, encoding_class("cpu", encoder.json("encoder.json")["precision"]))
    shots, anchors = cache.features(run.tables.samples.inputs).astype(np.float32), run.anchors_by(encoder, cache)
    answers = run.answers(run.tables.samples.labels)
    with threadpool_limits(1):
        held_out = answers.search(shots, anchors).held_out
    return run.target.decide(answers.link.outputs(held_out), run.target.plain_rule(Rule(run.tables.classes.labels, {})))
