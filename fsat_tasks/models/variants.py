"""Judge smaller variants of an exported graph, and choose the one that is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.models.served import ServedModel
from fsat_tasks.quality.graph_gates import variant_gates
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.tasks.spec import GateSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FILES", "FOR_A_GPU", "MODEL", "Judge", "for_a_cpu", "parity_of", "served_file"]

MODEL = "model.onnx"
FILES = {"fp32": MODEL, "fp16": "model-fp16.onnx", "int8": "model-int8.onnx"}
FOR_A_GPU = ("fp16",)
"""Variants for a GPU. Their files are half as large as fp32. A CPU is slower with them, because it first converts the weights."""

Outputs = tuple["NDArray[np.floating[Any]]", "NDArray[np.floating[Any]]"]
"""Probabilities (n, classes) and scope scores (n,)."""


def parity_of(served: Outputs, reference: Outputs, threshold: float) -> dict[str, Any]:
    """Compare a graph's outputs with a reference's outputs for the same texts.

    Args:
        served, reference: probabilities (n, classes) and scope scores (n,).
        threshold: minimum scope score of a text that counts as in scope.

    Returns:
        `rows`, `max_difference` of the probabilities, and the shares of rows with the same label (`label_agreement`)
        and with the same in-scope decision (`scope_agreement`).
    """
    import numpy as np

    (probabilities, scope), (expected, expected_scope) = served, reference
    return {
        "rows": len(probabilities),
        "max_difference": float(np.abs(probabilities - expected).max()),
        "label_agreement": float((probabilities.argmax(1) == expected.argmax(1)).mean()),
        "scope_agreement": float(((scope >= threshold) == (expected_scope >= threshold)).mean()),
    }


@dataclass(frozen=True)
class Judge:
    """A comparison of the variants in a model folder with the fp32 graph."""

    folder: Path
    texts: Sequence[str]
    labels: NDArray[np.int64]  # (n,)
    answers: Outputs
    """Answers of the fp32 graph on the CPU."""
    bounds: GateSpec
    kept: Kept
    """Cache of open sessions. Later, the step `publish` measures the speed of these sessions."""

    def judge(self, name: str, device: Literal["cpu", "cuda"] = "cpu") -> dict[str, Any]:
        """Return a variant's size and parity, whether it may be served on the device, and the reason with statistics."""
        from fsat_tasks.numerics.evidence.paired import compare_paired

        model = ServedModel(self.folder, FILES[name], device, self.kept)
        found = model.run(self.texts)
        parity = parity_of(found, self.answers, model.scope_threshold)
        right, before = (answers[0].argmax(1) == self.labels for answers in (found, self.answers))
        gates = variant_gates(parity, compare_paired(right, before), self.bounds)
        held = [gate for gate in gates if not gate.promote]
        reason = " ".join(gate.reason for gate in held) or (
            "Meant for a GPU." if device == "cpu" and name in FOR_A_GPU else "Answers as the fp32 model does."
        )
        return {
            "name": name,
            "device": device,
            "file": FILES[name],
            "bytes": (self.folder / FILES[name]).stat().st_size,
            **parity,
            "passes": not held,
            "reason": reason,
            "detail": "; ".join(gate.detail for gate in gates),
        }


def for_a_cpu(variant: Mapping[str, Any]) -> bool:
    """Return whether a variant was judged on a CPU and is fast there."""
    return variant["device"] == "cpu" and variant["name"] not in FOR_A_GPU


def served_file(variants: Sequence[dict[str, Any]]) -> str:
    """Return the file of the smallest variant that passes on a CPU and is fast there."""
    passing = [variant for variant in variants if variant["passes"] and for_a_cpu(variant)]
    return str(min(passing, key=lambda variant: variant["bytes"])["file"])
