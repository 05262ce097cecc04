"""Step 5, export: one ONNX graph from token ids to calibrated probabilities, checked against torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.encoder_source import find_encoder
from fsat_tasks.extract import task_encoder
from fsat_tasks.gates import parity_gates
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, write_json
from fsat_tasks.tune import Head, load_head
from fsat_tasks.validate import load_split, load_texts

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

__all__ = ["export"]

PARITY_ROWS = 500


def export(task: Task, store: Store, validated: Artefact, tuned: Artefact, evaluated: Artefact) -> Artefact:
    """Join encoder and head into one graph, and compare it with torch on the samples and query rows.

    Writes model.onnx, tokenizer.json and config.json, which are all that serving needs; README.md, the model card;
    parity.json and gates.json.
    """
    encoder = task_encoder(task, store)
    recipe = Recipe(
        "export", 2,
        config={"task": task.name, "description": task.spec.description, "classes": task.spec.classes,
                "encoder": task.spec.encoder.name, "max_parity_error": task.spec.gates.max_parity_error},
        inputs={"encoder": encoder.digest, "tune": tuned.digest, "evaluate": evaluated.digest,
                "rows": validated.sha256("rows.parquet"), "texts": validated.sha256("texts.parquet")},
        numeric_class="onnxruntime-cpu-fp32",
        parents={"encoder": encoder, "validate": validated, "tune": tuned, "evaluate": evaluated},
    )  # fmt: skip

    def write(folder: Path) -> dict[str, Any]:
        import onnx

        from fsat_tasks.serving import ServedModel
        from fsat_tasks.templates import render

        head, config = load_head(tuned), encoder.json("encoder.json")
        onnx.save(join_head(onnx.load(encoder.path / "encoder.onnx"), head), folder / "model.onnx")
        shutil.copyfile(encoder.path / "tokenizer.json", folder / "tokenizer.json")
        write_json(folder / "config.json", {
            "task": task.name, "labels": head.labels, "temperature": head.temperature, "encoder": task.spec.encoder.name,
            "encoder_revision": config["revision"], "max_tokens": config["max_tokens"],
        })  # fmt: skip
        texts = _parity_texts(validated)
        served = ServedModel(folder).probabilities(texts)
        parity = _parity(served, _torch_probabilities(task, folder, head, texts))
        gates = parity_gates(parity, task.spec.gates)
        write_json(folder / "parity.json", parity)
        write_json(folder / "gates.json", [gate.to_json() for gate in gates])
        card = render("model_card.md.j2", task=task, head=head, metrics=evaluated.json("metrics.json"), parity=parity)
        (folder / "README.md").write_text(card, "utf-8")
        return {**parity, "promote": all(gate.promote for gate in gates)}

    return store.build(recipe, write)


def join_head(encoder: onnx.ModelProto, head: Head) -> onnx.ModelProto:
    """The encoder's graph followed by the head: `probabilities` (batch, classes) out.

    Where the head takes the last layer alone, the graph is cut at `sentence`, so the pooling of the others is gone.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnx.utils import Extractor

    source = "sentence" if head.layers == 1 else "features"
    model = Extractor(encoder).extract_model(["input_ids", "attention_mask"], [source])
    # temperature and the equal share of each layer are in the weights
    weight = np.ascontiguousarray(head.weight.T / (head.temperature * np.sqrt(head.layers)), np.float32)
    constants = {
        "head.weight": weight,  # (layers * dim, classes)
        "head.bias": (head.bias / head.temperature).astype(np.float32),
        "head.shape": np.array([0, len(weight)]),  # 0: as many rows as came
    }
    nodes = [
        helper.make_node("LpNormalization", [source], ["head.unit"], axis=-1, p=2),
        helper.make_node("Reshape", ["head.unit", "head.shape"], ["head.row"]),
        helper.make_node("Gemm", ["head.row", "head.weight", "head.bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    if head.layers > 1:  # of (batch, all layers, dim) the last ones
        constants |= {"head.first": np.array([-head.layers]), "head.end": np.array([2**31]), "head.axis": np.array([1])}
        nodes[0].input[0] = "head.layers"
        nodes.insert(0, helper.make_node("Slice", [source, "head.first", "head.end", "head.axis"], ["head.layers"]))
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(head.labels)]))
    onnx.checker.check_model(model)
    return model


def _parity_texts(validated: Artefact) -> list[str]:
    texts = load_texts(validated)
    rows = [*load_split(validated, "samples").text_ids, *load_split(validated, "query").text_ids]
    return [texts[i] for i in rows[:PARITY_ROWS]]


def _torch_probabilities(task: Task, folder: Path, head: Head, texts: list[str]) -> NDArray[np.float64]:
    """The reference: the encoder as transformers runs it, the head in float64."""
    import numpy as np
    import torch

    from fsat_tasks.encoder import load_tokenizer, token_batches
    from fsat_tasks.encoder_graph import PooledEncoder

    source = find_encoder(task.spec.encoder.name, task.spec.encoder.max_tokens)
    encoder = PooledEncoder(source.folder, source.pooling, source.normalize)
    probabilities = np.empty((len(texts), len(head.labels)))  # (n, classes)
    with torch.inference_mode():
        for rows, ids, mask in token_batches(*load_tokenizer(folder / "tokenizer.json"), texts):
            features, _ = encoder(torch.from_numpy(ids), torch.from_numpy(mask))
            probabilities[rows] = head.probabilities(features.numpy())
    return probabilities


def _parity(served: NDArray[np.float32], reference: NDArray[np.float64]) -> dict[str, Any]:
    import numpy as np

    return {
        "rows": len(served),
        "max_difference": float(np.abs(served - reference).max()),
        "label_agreement": float((served.argmax(1) == reference.argmax(1)).mean()),
    }
