"""Step 5, export: one ONNX graph from token ids to calibrated probabilities, checked against torch."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fsat_tasks.data.tables import load_split, load_texts
from fsat_tasks.encoders.export import export_int8_encoder
from fsat_tasks.encoders.source import find_encoder
from fsat_tasks.models.card import render_card
from fsat_tasks.models.graph_parts import half_precision, take_apart, whole
from fsat_tasks.models.head import Head, finite, load_head
from fsat_tasks.models.head_graph import join_head
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.tuned import head_device, tuned_encoder
from fsat_tasks.models.variants import FILES, FOR_A_GPU, MODEL, Judge, parity_of, served_file
from fsat_tasks.quality.gates import parity_gates, size_gate
from fsat_tasks.runtime.device import or_on_the_cpu
from fsat_tasks.runtime.failures import NamedErrors
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.spec import Task

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from fsat_tasks.encoders.graph import PooledEncoder
    from fsat_tasks.encoders.source import EncoderSource

__all__ = ["export"]

PARITY_ROWS = 500
BESIDE_A_GPU = f"{CPU_CLASS}+cuda"
"""Numeric class where the graphs were compared on a GPU, too."""
BOUNDS = {"max_parity_error", "max_variant_error", "min_variant_agreement", "significance", "max_megabytes"}
"""Gates that this step asks."""


def export(task: Task, store: Store, validated: Artefact, tuned: Artefact, evaluated: Artefact) -> Artefact:
    """Join encoder and head into one graph, and compare it with torch on the samples and query rows.

    Writes model.onnx and its smaller variants, tokenizer.json, and config.json, which names the variant that is served;
    README.md, the model card; variants.json, parity.json and gates.json. Where this step finds a GPU that ONNX Runtime can use,
    variants.json says what the graphs answer there, too.
    """
    return or_on_the_cpu(task.spec.device, lambda device: _export(task, store, validated, tuned, evaluated, head_device(device)))


def _export(task: Task, store: Store, validated: Artefact, tuned: Artefact, evaluated: Artefact, device: Device) -> Artefact:
    encoder = tuned_encoder(store, tuned)
    beside_a_gpu = device == "cuda" and encoder.json("encoder.json")["precision"] == "fp32"
    recipe = Recipe(
        "export",
        8,
        config={
            "task": task.name,
            "description": task.spec.description,
            "classes": task.spec.classes,
            "encoder": task.spec.encoder.name,
            "gates": task.spec.gates.model_dump(include=BOUNDS),
        },
        inputs={
            "encoder": encoder.digest,
            "tune": tuned.digest,
            "evaluate": evaluated.digest,
            "rows": validated.sha256("rows.parquet"),
            "texts": validated.sha256("texts.parquet"),
        },
        numeric_class=BESIDE_A_GPU if beside_a_gpu else CPU_CLASS,
        parents={"encoder": encoder, "validate": validated, "tune": tuned, "evaluate": evaluated},
    )

    found = store.find_first(recipe, (BESIDE_A_GPU, CPU_CLASS)) if task.spec.device == "auto" else None

    def write(folder: Path) -> dict[str, Any]:
        import onnx

        head, config = load_head(tuned), encoder.json("encoder.json")
        onnx.save(_joined(encoder, head), folder / MODEL)
        shutil.copyfile(encoder.path / "tokenizer.json", folder / "tokenizer.json")
        settings = {
            "task": task.name,
            "labels": head.labels,
            "temperature": head.temperature,
            "encoder": task.spec.encoder.name,
            "encoder_revision": config["revision"],
            "max_tokens": config["max_tokens"],
            "rung": head.rung,
            "scope_threshold": finite(head.scope_threshold),
            "set_thresholds": {coverage: finite(value) for coverage, value in head.set_thresholds.items()},
        }
        write_json(folder / "config.json", settings | {"served": MODEL})
        texts, labels = _parity_rows(validated, head.labels)
        answers = ServedModel(folder).run(texts)
        parity = parity_of(answers, _reference(task, encoder, tuned, head, texts), head.scope_threshold)
        reference = {
            "name": config["precision"],
            "device": "cpu",
            "file": MODEL,
            "bytes": (folder / MODEL).stat().st_size,
            **parity,
            "passes": True,
            "reason": "the reference",
        }
        judge = Judge(folder, texts, labels, answers, task.spec.gates)
        variants = [reference]
        for name, graph in _smaller(store, encoder, head):
            onnx.save(graph, folder / FILES[name])
            variants.append(judge.judge(name))
        if beside_a_gpu:
            with NamedErrors(f"{len(texts)} texts"):
                variants += [judge.judge(name, "cuda") for name in ("fp32", *FOR_A_GPU)]
        served = served_file(variants)
        for variant in variants:
            variant["served"] = variant["device"] == "cpu" and variant["file"] == served
        write_json(folder / "variants.json", variants)
        write_json(folder / "config.json", settings | {"served": served})
        gates = [*parity_gates(parity, task.spec.gates), size_gate((folder / served).stat().st_size, task.spec.gates)]
        write_json(folder / "parity.json", parity)
        write_json(folder / "gates.json", [gate.to_json() for gate in gates])
        card = render_card(task, head, evaluated.json("metrics.json"), parity, served)
        (folder / "README.md").write_text(card, "utf-8")
        return {**parity, "served": served, "promote": all(gate.promote for gate in gates)}

    return found or store.build(recipe, write)


def _smaller(store: Store, encoder: Artefact, head: Head) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The variants by name, one in memory at a time; none of an encoder that is in int8 itself."""
    if encoder.json("encoder.json")["precision"] == "fp32":
        yield "int8", _joined(export_int8_encoder(encoder, store), head)
        yield "fp16", _joined(encoder, head, half=True)


def _joined(encoder: Artefact, head: Head, half: bool = False) -> onnx.ModelProto:
    parts = take_apart(encoder.path / "encoder.onnx", encoder.sha256("encoder.onnx"))
    graph = join_head(parts.graph, head)
    return whole(half_precision(graph, parts) if half else graph, parts)


def _parity_rows(validated: Artefact, names: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Texts and labels of the rows on which graphs are compared: query rows first, then samples."""
    import numpy as np

    texts, splits = load_texts(validated), [load_split(validated, split) for split in ("query", "samples")]
    ids = np.concatenate([split.text_ids for split in splits])[:PARITY_ROWS]
    labels = [label for split in splits for label in split.labels][:PARITY_ROWS]
    return [texts[i] for i in ids], np.searchsorted(names, labels)


def _reference(
    task: Task, encoder: Artefact, tuned: Artefact, head: Head, texts: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities and scope scores by the encoder as transformers runs it, the head in float64.

    An int8 encoder is its own reference: that it may stand for the other one was decided before its features were used.
    """
    if encoder.json("encoder.json")["precision"] == "int8":
        from fsat_tasks.encoders.encoder import Encoder

        features = Encoder(encoder, "cpu").encode(texts, "all")
        return head.probabilities(features), head.scope_scores(features)
    from safetensors.torch import load_file

    from fsat_tasks.encoders.batches import load_tokenizer, tokenize
    from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder

    source = find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens)
    tuned_body = head.tuned_body and load_torch_encoder(source, "cpu", load_file(tuned.path / "body.safetensors"))
    tokenizer, _ = load_tokenizer(encoder.path / "tokenizer.json")
    features = encode_rows(tuned_body or _frozen_body(source, encoder.digest), tokenize(tokenizer, texts))
    return head.probabilities(features), head.scope_scores(features)


@functools.lru_cache(maxsize=1)  # one encoder serves task after task
def _frozen_body(source: EncoderSource, digest: str) -> PooledEncoder:
    """The encoder in torch as it was pretrained; `digest` stands for the files of its folder."""
    from fsat_tasks.tuning.fine_tuning import load_torch_encoder

    return load_torch_encoder(source, "cpu")
