"""Write a model folder: one ONNX graph from prepared rows to calibrated outputs, its smaller variants, and the model card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.encoders.artefact import copy_preparer, preparer_settings
from fsat_tasks.encoders.export import export_int8_encoder
from fsat_tasks.errors import EncoderError
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.card import About, render_card
from fsat_tasks.models.graph_facts import set_facts
from fsat_tasks.models.graph_parts import half_precision, take_apart, whole
from fsat_tasks.models.head import Head, finite
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.variants import FILES, FOR_A_GPU, MODEL, Decider, Judge, served_file
from fsat_tasks.quality.graph_gates import parity_gates, size_gate
from fsat_tasks.runtime.failures import NamedErrors
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.targets.target import Target
from fsat_tasks.tasks.spec import GateSpec

if TYPE_CHECKING:
    import onnx

    from fsat_tasks.models.variants import Outputs

__all__ = ["PARITY_ROWS", "Comparison", "TunedModel", "write_model"]

PARITY_ROWS = 500
"""Maximum number of rows on which graphs are compared."""


@dataclass(frozen=True)
class TunedModel:
    """A tuned model that is to be exported."""

    about: About
    target: Target
    head: Head
    encoder: Artefact
    """Exported encoder whose features the head reads."""
    metrics: dict[str, Any]
    """Figures of the model, as metrics.json has them."""

    @property
    def precision(self) -> str:
        """Precision of the encoder: `fp32` or `int8`."""
        return str(self.encoder.json("encoder.json")["precision"])


@dataclass(frozen=True)
class Comparison:
    """Rows and bounds by which the exported graphs are compared."""

    inputs: Sequence[Input]
    labels: Sequence[str]
    reference: Outputs
    """Outputs and scope scores of the rows by the model itself, from which the graphs are made."""
    bounds: GateSpec
    beside_a_gpu: bool = False
    """True if the graphs are compared on a GPU too."""


def write_model(model: TunedModel, comparison: Comparison, folder: Path, store: Store, kept: Kept) -> dict[str, Any]:
    """Join encoder and head into one graph, and compare the graph with the model.

    Writes model.onnx, its smaller variants and the preparer's files. Writes config.json, which names the variant that is served.
    Writes the model card, README.md. Writes variants.json, parity.json and gates.json.

    Args:
        model: the model.
        comparison: rows and bounds of the comparison.
        folder: folder to write to.
        store: store in which the encoder in int8 is looked up, and made if it is missing.
        kept: cache of graphs and open sessions.

    Returns:
        The figures of parity.json; `served`, the file that is served; and `promote`, whether all gates promote.
    """
    bounds, settings = comparison.bounds, _settings(model)
    with show_work(f"export: {model.precision}"):
        _save(_joined(model.head, model.encoder, kept), settings, folder / MODEL)
        copy_preparer(model.encoder, folder)
        write_json(folder / "config.json", settings | {"served": MODEL})
        answers = ServedModel(folder, kept=kept).run(comparison.inputs)
    decider = Decider(model.target, model.head.rule, model.head.scope_threshold)
    parity = decider.parity(answers, comparison.reference)
    variants = [_reference_variant(model, folder, parity)]
    judge = Judge(folder, comparison.inputs, comparison.labels, answers, bounds, decider, kept)
    for name, make in _smaller(model, store, kept):
        with show_work(f"export: {name}"):
            graph = make()
            if graph is not None:
                _save(graph, settings, folder / FILES[name])
                variants.append(judge.judge(name))
    if comparison.beside_a_gpu:
        with NamedErrors(f"{len(comparison.inputs)} rows"):
            variants += [judge.judge(name, "cuda") for name in ("fp32", *FOR_A_GPU)]
    served = served_file(variants)
    for variant in variants:
        variant["served"] = variant["device"] == "cpu" and variant["file"] == served
    gates = [*parity_gates(parity, bounds), size_gate((folder / served).stat().st_size, bounds)]
    write_json(folder / "variants.json", variants)
    write_json(folder / "config.json", settings | {"served": served})
    write_json(folder / "parity.json", parity)
    write_json(folder / "gates.json", [gate.to_json() for gate in gates])
    card = render_card(model.about, model.target, model.head, model.metrics, parity, served)
    (folder / "README.md").write_text(card, "utf-8")
    return {**parity, "served": served, "promote": all(gate.promote for gate in gates)}


def _save(graph: onnx.ModelProto, settings: dict[str, Any], path: Path) -> None:
    """Write a graph with the facts about the model in its metadata. `graph` is changed."""
    import onnx

    set_facts(graph, settings)
    onnx.save(graph, path)


def _settings(model: TunedModel) -> dict[str, Any]:
    """Return the content of config.json without the name of the served file."""
    head = model.head
    return {
        "task": model.about.name,
        "target": model.target.settings(),
        **head.rule.to_json(),
        "temperature": head.temperature,
        "encoder": model.about.encoder,
        "encoder_revision": model.encoder.json("encoder.json")["revision"],
        **preparer_settings(model.encoder),
        "rung": head.rung,
        "scope_threshold": finite(head.scope_threshold),
    }


def _reference_variant(model: TunedModel, folder: Path, parity: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of variants.json for the reference graph. The smaller graphs are compared with it."""
    size = (folder / MODEL).stat().st_size
    verdict = {"passes": True, "reason": "The reference that variants are compared with."}
    return {"name": model.precision, "device": "cpu", "file": MODEL, "bytes": size, **parity, **verdict}


def _smaller(model: TunedModel, store: Store, kept: Kept) -> Iterator[tuple[str, Callable[[], onnx.ModelProto | None]]]:
    """Yield name and maker of each smaller variant, one in memory at a time. A model with an int8 encoder has none."""

    def int8() -> onnx.ModelProto | None:
        encoder = _int8_encoder(model.encoder, store)
        return encoder and _joined(model.head, encoder, kept)

    if model.precision == "fp32":
        yield "int8", int8
        yield "fp16", lambda: _joined(model.head, model.encoder, kept, half=True)


def _int8_encoder(encoder: Artefact, store: Store) -> Artefact | None:
    """Return the encoder in int8; None for an encoder such as GPT-2, which has no products that could be computed in int8."""
    try:
        return export_int8_encoder(encoder, store)
    except EncoderError:
        return None


def _joined(head: Head, encoder: Artefact, kept: Kept, half: bool = False) -> onnx.ModelProto:
    """Return the graph of an encoder followed by the head."""
    from fsat_tasks.models.head_graph import join_head

    kind, path = encoder.json("encoder.json")["precision"], encoder.path / "encoder.onnx"
    parts = kept.get(f"{kind} graph", (path, encoder.sha256("encoder.onnx")), lambda: take_apart(path))
    graph = join_head(parts.graph, head.calibrated)
    return whole(half_precision(graph, parts) if half else graph, parts)
