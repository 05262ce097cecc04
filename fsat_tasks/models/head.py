"""A tuned head and its files: what turns features into probabilities, a scope score and sets of labels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.store import Artefact
from fsat_tasks.store.files import write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.heads.frozen import FrozenHead
    from fsat_tasks.numerics.heads.memory import Memory
    from fsat_tasks.numerics.heads.scope import ScopeModel

__all__ = ["SET_COVERAGES", "Head", "baseline_labels", "finite", "load_head", "save_baseline", "save_head"]

SET_COVERAGES = (0.8, 0.9, 0.95, 0.99)
"""Coverages whose conformal thresholds are kept with the head."""


@dataclass(frozen=True)
class Head:
    """Probabilities are softmax((rows @ weight.T + bias + share * the memory's logits) / temperature).

    Rows are the last layers' unit rows, side by side; see `mix_layers`.
    """

    labels: list[str]
    layers: int
    """The encoder's last so many layers, side by side."""
    weight: NDArray[np.float32]  # (classes, layers * dim)
    bias: NDArray[np.float32]  # (classes,)
    memory: Memory | None
    """Of pool rows; None where it did not help."""
    temperature: float
    lines: list[int]
    """Lines of the samples file that it was fitted on."""
    rung: str
    """The last rung that was taken."""
    scope: ScopeModel
    scope_threshold: float
    """The score that a text of the task reaches with the probability `coverage` of task.yaml; -inf where all pass."""
    set_thresholds: dict[str, float]
    """Coverage -> threshold of `prediction_sets` on 1 - probability; infinite with too few samples."""

    @property
    def tuned_body(self) -> bool:
        """Whether the features come from a tuned body."""
        return self.rung in ("body", "body-pool", "self-training")

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(n, all layers, dim) to (n, classes)."""
        from scipy.special import softmax

        probabilities: NDArray[np.float64] = softmax(self._logits(features) / self.temperature, axis=1)
        return probabilities

    def scope_scores(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(n, all layers, dim) to (n,); higher is more in scope."""
        from fsat_tasks.numerics.geometry.layers import mix_layers
        from fsat_tasks.numerics.heads.scope import scope_scores

        return scope_scores(self.scope, mix_layers(features, self.layers), self._logits(features))

    def _logits(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        from fsat_tasks.numerics.geometry.layers import mix_layers

        rows = mix_layers(features, self.layers)
        logits: NDArray[np.float64] = rows @ self.weight.T.astype("f8") + self.bias
        return logits if self.memory is None else logits + self.memory.share * self.memory.logits(rows)


def save_head(head: Head, folder: Path) -> None:
    """Write head.safetensors and head.json."""
    import numpy as np
    from safetensors.numpy import save

    parts = {"scope": asdict(head.scope), "memory": asdict(head.memory) if head.memory else {}}
    arrays = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    tensors = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}
    tensors |= {"weight": head.weight, "bias": head.bias}
    data = save({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()})
    (folder / "head.safetensors").write_bytes(data)  # save_file's own error on a full disk is no OSError
    write_json(
        folder / "head.json",
        {
            "labels": head.labels,
            "layers": head.layers,
            "temperature": head.temperature,
            "lines": head.lines,
            "rung": head.rung,
            "memory_share": head.memory.share if head.memory else 0.0,
            "nearest": head.scope.nearest,
            "scope_threshold": finite(head.scope_threshold),
            "set_thresholds": {coverage: finite(value) for coverage, value in head.set_thresholds.items()},
        },
    )


def load_head(tuned: Artefact) -> Head:
    import numpy as np
    from safetensors.numpy import load_file

    from fsat_tasks.numerics.heads.memory import Memory
    from fsat_tasks.numerics.heads.scope import ScopeModel

    tensors, settings = load_file(tuned.path / "head.safetensors"), tuned.json("head.json")

    def arrays(part: str) -> dict[str, NDArray[np.float64]]:
        named = {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
        return {name: tensor.astype(np.float64) for name, tensor in named.items()}

    memory = Memory(**arrays("memory"), share=settings["memory_share"]) if settings["memory_share"] else None
    return Head(
        labels=settings["labels"],
        layers=settings["layers"],
        weight=tensors["weight"],
        bias=tensors["bias"],
        memory=memory,
        temperature=settings["temperature"],
        lines=settings["lines"],
        rung=settings["rung"],
        scope=ScopeModel(**arrays("scope"), nearest=settings["nearest"], temperature=settings["temperature"]),
        scope_threshold=float(settings["scope_threshold"]),
        set_thresholds={coverage: float(value) for coverage, value in settings["set_thresholds"].items()},
    )


def save_baseline(frozen: FrozenHead, folder: Path) -> None:
    """Write baseline.safetensors: the frozen probe, and its logits of the samples, each left out."""
    import numpy as np
    from safetensors.numpy import save

    tensors = {"weight": frozen.head.weight, "bias": frozen.head.bias, "held_out": frozen.held_out}
    data = save({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()})
    (folder / "baseline.safetensors").write_bytes(data)


def baseline_labels(tuned: Artefact, features: NDArray[np.floating[Any]] | None) -> NDArray[np.int64]:
    """(n,) what the frozen probe says of rows by their pretrained features; None: of the samples, each left out."""
    from safetensors.numpy import load_file

    from fsat_tasks.numerics.geometry.layers import mix_layers

    baseline = load_file(tuned.path / "baseline.safetensors")
    if features is None:
        found: NDArray[np.int64] = baseline["held_out"].argmax(axis=1)
        return found
    rows = mix_layers(features, baseline["weight"].shape[1] // features.shape[2])
    labels: NDArray[np.int64] = (rows @ baseline["weight"].T.astype("f8") + baseline["bias"]).argmax(axis=1)
    return labels


def finite(value: float) -> float | str:
    """A number as JSON can hold it: infinity as text, which float() reads."""
    return value if math.isfinite(value) else str(value)
