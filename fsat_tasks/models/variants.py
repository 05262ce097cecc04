"""Judge smaller variants of an exported graph, and choose the one that is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.served import ServedModel
from fsat_tasks.models.settings import FILES, MODEL
from fsat_tasks.quality.graph_gates import variant_gates
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.targets.target import Rule, Target
from fsat_tasks.tasks.spec import GateSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FILES", "FOR_A_GPU", "MODEL", "Decider", "Judge", "for_a_cpu", "served_file"]

FOR_A_GPU = ("fp16",)
"""Variants for a GPU. Their files are half as large as fp32. A CPU is slower with them, because it first converts the weights."""

Outputs = tuple["NDArray[np.floating[Any]]", "NDArray[np.floating[Any]]"]
"""First output of a graph, such as probabilities (n, classes), and scope scores (n,)."""


@dataclass(frozen=True)
class Decider:
    """The way from a graph's outputs to answers, by which two graphs are compared."""

    target: Target
    rule: Rule
    scope_threshold: float
    """Minimum scope score of a text that counts as in scope."""

    def parity(self, served: Outputs, reference: Outputs) -> dict[str, Any]:
        """Compare a graph's outputs with a reference's outputs for the same texts.

        Args:
            served, reference: outputs (n, outputs), such as probabilities, and scope scores (n,).

        Returns:
            `rows`, `max_difference` of the outputs, and the shares of rows with the same answer (`label_agreement`)
            and with the same in-scope decision (`scope_agreement`).
        """
        import numpy as np

        (outputs, scope), (expected, expected_scope) = served, reference
        same = self.errors(self.decide(expected), outputs) <= self.target.unnoticed(self.rule)
        return {
            "rows": len(outputs),
            "max_difference": float(np.abs(outputs - expected).max()) / self.target.scale(self.rule),
            "label_agreement": float(same.mean()),
            "scope_agreement": float(((scope >= self.scope_threshold) == (expected_scope >= self.scope_threshold)).mean()),
        }

    def decide(self, outputs: NDArray[np.floating[Any]]) -> list[str]:
        """Return the answer of each row as text."""
        return self.target.decide(outputs, self.rule)

    def errors(self, labels: Sequence[str], outputs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the distance of each row's answer from its label, (n,)."""
        return self.target.errors(labels, self.decide(outputs), self.rule.labels)


@dataclass(frozen=True)
class Judge:
    """A comparison of the variants in a model folder with the fp32 graph."""

    folder: Path
    inputs: Sequence[Input]
    labels: Sequence[str]
    answers: Outputs
    """Answers of the fp32 graph on the CPU."""
    bounds: GateSpec
    decider: Decider
    kept: Kept
    """Cache of open sessions. Later, the step `publish` measures the speed of these sessions."""

    def judge(self, name: str, device: Literal["cpu", "cuda"] = "cpu") -> dict[str, Any]:
        """Return a variant's size and parity, whether it may be served on the device, and the reason with statistics."""
        from fsat_tasks.numerics.evidence.paired import compare_paired_errors

        model = ServedModel(self.folder, FILES[name], device, self.kept)
        found = model.run(self.inputs)
        parity = self.decider.parity(found, self.answers)
        new, old = (self.decider.errors(self.labels, answers[0]) for answers in (found, self.answers))
        gates = variant_gates(parity, compare_paired_errors(new, old), self.bounds)
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
