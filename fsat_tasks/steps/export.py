"""Step 5, export: write one ONNX graph that maps token ids to calibrated probabilities, and compare it with torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.encoders.batches import load_tokenizer, tokenize
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_int8_encoder
from fsat_tasks.models.card import render_card
from fsat_tasks.models.graph_parts import half_precision, take_apart, whole
from fsat_tasks.models.head import finite
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.variants import FILES, FOR_A_GPU, MODEL, Judge, parity_of, served_file
from fsat_tasks.quality.graph_gates import parity_gates, size_gate
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import onnx_device, or_on_the_cpu
from fsat_tasks.runtime.failures import NamedErrors
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS
from fsat_tasks.store import Artefact, Recipe, versions
from fsat_tasks.store.files import write_json

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from fsat_tasks.models.variants import Outputs

__all__ = ["export"]

PARITY_ROWS = 500
"""Maximum number of rows on which graphs are compared."""
BESIDE_A_GPU = replace(CPU_CLASS, compared_on="cuda")
"""Numeric class of an artefact whose graphs were also compared on a GPU."""
BOUNDS = {"max_parity_error", "max_variant_error", "min_variant_agreement", "significance", "max_megabytes"}
"""Names of the bounds that the gates of this step use."""


def export(run: Run) -> Artefact:
    """Join encoder and head into one graph, and compare the graph with torch.

    The comparison uses at most 500 rows. Samples are used only if there are fewer query rows than that.

    Writes model.onnx, its smaller variants and tokenizer.json. Writes config.json, which names the variant that is served.
    Writes the model card, README.md. Writes variants.json, parity.json and gates.json. If ONNX Runtime can use a GPU on this
    machine, variants.json also compares the graphs on the GPU.
    """
    return or_on_the_cpu(run.task.spec.device, lambda device: _export(run, onnx_device(device)))


def _export(run: Run, device: Device) -> Artefact:
    spec, encoder = run.task.spec, run.head_encoder
    beside_a_gpu = device == "cuda" and _precision(run) == "fp32"
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
    import onnx

    bounds, settings = run.task.spec.gates, _settings(run)
    onnx.save(_joined(run, run.head_encoder), folder / MODEL)
    shutil.copyfile(run.head_encoder.path / "tokenizer.json", folder / "tokenizer.json")
    write_json(folder / "config.json", settings | {"served": MODEL})
    texts, labels = _parity_rows(run)
    answers = ServedModel(folder, kept=run.kept).run(texts)
    parity = parity_of(answers, _reference(run, texts), run.head.scope_threshold)
    variants = [_reference_variant(run, folder, parity)]
    judge = Judge(folder, texts, labels, answers, bounds, run.kept)
    for name, graph in _smaller(run):
        onnx.save(graph, folder / FILES[name])
        variants.append(judge.judge(name))
    if beside_a_gpu:
        with NamedErrors(f"{len(texts)} texts"):
            variants += [judge.judge(name, "cuda") for name in ("fp32", *FOR_A_GPU)]
    served = served_file(variants)
    for variant in variants:
        variant["served"] = variant["device"] == "cpu" and variant["file"] == served
    gates = [*parity_gates(parity, bounds), size_gate((folder / served).stat().st_size, bounds)]
    write_json(folder / "variants.json", variants)
    write_json(folder / "config.json", settings | {"served": served})
    write_json(folder / "parity.json", parity)
    write_json(folder / "gates.json", [gate.to_json() for gate in gates])
    card = render_card(run.task, run.head, run.evaluated.json("metrics.json"), parity, served)
    (folder / "README.md").write_text(card, "utf-8")
    return {**parity, "served": served, "promote": all(gate.promote for gate in gates)}


def _settings(run: Run) -> dict[str, Any]:
    """Return the content of config.json without the name of the served file."""
    head, config = run.head, run.head_encoder.json("encoder.json")
    return {
        "task": run.task.name,
        "labels": head.labels,
        "temperature": head.temperature,
        "encoder": run.task.spec.encoder.name,
        "encoder_revision": config["revision"],
        "max_tokens": config["max_tokens"],
        "rung": head.rung,
        "scope_threshold": finite(head.scope_threshold),
        "set_thresholds": {coverage: finite(value) for coverage, value in head.set_thresholds.items()},
    }


def _reference_variant(run: Run, folder: Path, parity: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of variants.json for the reference graph. The smaller graphs are compared with it."""
    size = (folder / MODEL).stat().st_size
    verdict = {"passes": True, "reason": "The reference that variants are compared with."}
    return {"name": _precision(run), "device": "cpu", "file": MODEL, "bytes": size, **parity, **verdict}


def _smaller(run: Run) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield the smaller variants with their names, one in memory at a time. A model with an int8 encoder has none."""
    if _precision(run) == "fp32":
        yield "int8", _joined(run, export_int8_encoder(run.head_encoder, run.store))
        yield "fp16", _joined(run, run.head_encoder, half=True)


def _joined(run: Run, encoder: Artefact, half: bool = False) -> onnx.ModelProto:
    """Return the graph of an encoder followed by the head."""
    from fsat_tasks.models.head_graph import join_head

    kind, path = encoder.json("encoder.json")["precision"], encoder.path / "encoder.onnx"
    parts = run.kept.get(f"{kind} graph", (path, encoder.sha256("encoder.onnx")), lambda: take_apart(path))
    graph = join_head(parts.graph, run.head.calibrated)
    return whole(half_precision(graph, parts) if half else graph, parts)


def _parity_rows(run: Run) -> tuple[list[str], NDArray[np.int64]]:
    """Return texts and class numbers (n,) of the rows on which graphs are compared, query rows before samples."""
    splits = (run.tables.query, run.tables.samples)
    texts = [text for split in splits for text in split.texts][:PARITY_ROWS]
    labels = [label for split in splits for label in split.labels][:PARITY_ROWS]
    return texts, run.tables.class_numbers(labels)


def _reference(run: Run, texts: list[str]) -> Outputs:
    """Return the probabilities and scope scores that graphs are compared with.

    The encoder runs in the library transformers, and the head is computed in float64. If the encoder is an int8 graph, that graph
    computes the features in place of transformers, because `runs.precision` has already accepted it in place of the float32
    encoder.
    """
    if _precision(run) == "int8":
        features = Encoder(run.head_encoder, "cpu").encode(texts, "all")
    else:
        features = _features_by_torch(run, texts)
    return run.head.probabilities(features), run.head.scope_scores(features)


def _features_by_torch(run: Run, texts: list[str]) -> NDArray[np.float32]:
    from safetensors.torch import load_file

    from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder

    if run.has_tuned_encoder:
        body = load_torch_encoder(run.source, "cpu", load_file(run.tuned.path / "body.safetensors"))
    else:  # the pretrained encoder stays open for the next tasks
        body = run.kept.get("encoder in torch", run.encoder.digest, lambda: load_torch_encoder(run.source, "cpu"))
    tokenizer, _ = load_tokenizer(run.head_encoder.path / "tokenizer.json", run.kept)
    return encode_rows(body, tokenize(tokenizer, texts))


def _precision(run: Run) -> str:
    return str(run.head_encoder.json("encoder.json")["precision"])
