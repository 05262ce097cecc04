"""Smaller variants of an exported graph, and which of them may stand for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.models.served import ServedModel
from fsat_tasks.quality.gates import variant_gates
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.tasks.spec import GateSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FILES", "FOR_A_GPU", "MODEL", "Judge", "for_a_cpu", "parity_of", "served_file"]

MODEL = "model.onnx"
FILES = {"fp32": MODEL, "fp16": "model-fp16.onnx", "int8": "model-int8.onnx"}
FOR_A_GPU = ("fp16",)
"""A CPU computes these in fp32, and converts on the way: half the file, and slower."""

Answers = tuple["NDArray[np.floating[Any]]", "NDArray[np.floating[Any]]"]
"""Probabilities (n, classes) and scope scores (n,)."""


def parity_of(served: Answers, reference: Answers, threshold: float) -> dict[str, Any]:
    """How far answers are from those that they should be."""
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
    """Compares variants in a model folder with its fp32 graph."""

    folder: Path
    texts: Sequence[str]
    labels: NDArray[np.int64]  # (n,)
    answers: Answers
    """Of the fp32 graph on the CPU."""
    bounds: GateSpec
    kept: Kept
    """What stays open: the sessions, which `publish` times."""

    def judge(self, name: str, device: Literal["cpu", "cuda"] = "cpu") -> dict[str, Any]:
        """Size, parity and whether the variant may be served on the device, with the reason."""
        from fsat_tasks.numerics.evidence.paired import compare_paired

        model = ServedModel(self.folder, FILES[name], device, self.kept)
        found = model.run(self.texts)
        parity = parity_of(found, self.answers, model.scope_threshold)
        right, before = (answers[0].argmax(1) == self.labels for answers in (found, self.answers))
        held = [gate for gate in variant_gates(parity, compare_paired(right, before), self.bounds) if not gate.promote]
        reason = "; ".join(gate.reason for gate in held) or (
            "for a GPU" if device == "cpu" and name in FOR_A_GPU else "as good as fp32"
        )
        return {
            "name": name,
            "device": device,
            "file": FILES[name],
            "bytes": (self.folder / FILES[name]).stat().st_size,
            **parity,
            "passes": not held,
            "reason": reason,
        }


def for_a_cpu(variant: Mapping[str, Any]) -> bool:
    """Whether it tells of a graph on the CPU, and of one that a CPU is fast with."""
    return variant["device"] == "cpu" and variant["name"] not in FOR_A_GPU


def served_file(variants: Sequence[dict[str, Any]]) -> str:
    """The smallest that passes on a CPU, of those that it is fast with."""
    passing = [variant for variant in variants if variant["passes"] and for_a_cpu(variant)]
    return str(min(passing, key=lambda variant: variant["bytes"])["file"])
