"""Step 5, export: write one ONNX graph that maps prepared rows to calibrated probabilities, and compare it with torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.card import About
from fsat_tasks.models.model_folder import PARITY_ROWS, Comparison, TunedModel, write_model
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import onnx_device, or_on_the_cpu
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.store import Artefact, Recipe, versions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.models.variants import Outputs

__all__ = ["export"]

BESIDE_A_GPU = replace(CPU_CLASS, compared_on="cuda")
"""Numeric class of an artefact whose graphs were also compared on a GPU."""
BOUNDS = {"max_parity_error", "max_variant_error", "min_variant_agreement", "significance", "max_megabytes"}
"""Names of the bounds that the gates of this step use."""


def export(run: Run) -> Artefact:
    """Write the model folder (`write_model`), and compare its graphs with torch.

    The comparison uses at most 500 rows. Samples are used only if there are fewer query rows than that. If ONNX Runtime can use
    a GPU on this machine, variants.json also compares the graphs on the GPU.
    """
    return or_on_the_cpu(run.task.spec.device, lambda device: _export(run, onnx_device(device)))


def _export(run: Run, device: Device) -> Artefact:
    spec, encoder = run.task.spec, run.head_encoder
    beside_a_gpu = device == "cuda" and encoder.json("encoder.json")["precision"] == "fp32"
    recipe = Recipe(
        "export",
        versions.EXPORT,
        config={
            "task": run.task.name,
            "description": spec.description,
            "classes": spec.classes,
            "encoder": spec.encoder.name,
            "gates": spec.gates.model_dump(include=BOUNDS),
        },
        inputs={
            "encoder": encoder.digest,
            "tune": run.tuned.digest,
            "evaluate": run.evaluated.digest,
            "rows": run.validated.sha256("rows.parquet"),
            "texts": run.validated.sha256("texts.parquet"),
        },
        numeric_class=BESIDE_A_GPU if beside_a_gpu else CPU_CLASS,
        parents={"encoder": encoder, "validate": run.validated, "tune": run.tuned, "evaluate": run.evaluated},
    )
    found = run.store.find_first(recipe, (BESIDE_A_GPU, CPU_CLASS)) if spec.device == "auto" else None
    return found or run.store.build(recipe, lambda folder: _write(run, beside_a_gpu, folder))


def _write(run: Run, beside_a_gpu: bool, folder: Path) -> dict[str, Any]:
    spec = run.task.spec
    about = About(run.task.name, spec.description, spec.classes, spec.encoder.name)
    model = TunedModel(about, run.target, run.head, run.head_encoder, run.evaluated.json("metrics.json"))
    with show_work("export: reference"):
        comparison = _comparison(run, model, beside_a_gpu)
    return write_model(model, comparison, folder, run.store, run.kept)


def _comparison(run: Run, model: TunedModel, beside_a_gpu: bool) -> Comparison:
    """Return the rows on which graphs are compared, query rows before samples."""
    splits = (run.tables.query, run.tables.samples)
    inputs = [row for split in splits for row in split.inputs][:PARITY_ROWS]
    labels = [label for split in splits for label in split.labels][:PARITY_ROWS]
    return Comparison(inputs, labels, _reference(run, model, inputs), run.task.spec.gates, beside_a_gpu)


def _reference(run: Run, model: TunedModel, inputs: list[Input]) -> Outputs:
    """Return the probabilities and scope scores that graphs are compared with.

    The encoder runs in torch, and the head is computed in float64. If the encoder is an int8 graph, that graph
    computes the features in place of torch, because `runs.precision` has already accepted it in place of the float32
    encoder.
    """
    features = Encoder(model.encoder, "cpu").encode(inputs, "all") if model.precision == "int8" else _by_torch(run, inputs)
    return run.head.outputs(features), run.head.scope_scores(features)


def _by_torch(run: Run, inputs: list[Input]) -> NDArray[np.float32]:
    """Return features (n, layers, dim) that the encoder computes in torch."""
    from safetensors.torch import load_file

    from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder

    if run.has_tuned_encoder:
        body = load_torch_encoder(run.source, "cpu", load_file(run.tuned.path / "body.safetensors"))
    else:  # the pretrained encoder stays open for the next tasks
        body = run.kept.get("encoder in torch", run.encoder.digest, lambda: load_torch_encoder(run.source, "cpu"))
    return encode_rows(body, open_preparer(run.head_encoder.path, run.kept).prepare(inputs))
