"""A tuned head and its files: what turns features into probabilities, a scope score and sets of labels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.store import Artefact, write_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.scope import ScopeModel

__all__ = ["SET_COVERAGES", "Head", "finite", "load_head", "save_head"]

SET_COVERAGES = (0.8, 0.9, 0.95, 0.99)
"""Coverages whose conformal thresholds are kept with the head."""


@dataclass(frozen=True)
class Head:
    """Probabilities are softmax((the last layers' unit rows @ weight.T + bias) / temperature)."""

    labels: list[str]
    layers: int
    """The encoder's last so many layers, side by side."""
    weight: NDArray[np.float32]  # (classes, layers * dim)
    bias: NDArray[np.float32]  # (classes,)
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
        from fsat_tasks.numerics.frozen_head import mix_layers
        from fsat_tasks.numerics.scope import scope_scores

        return scope_scores(self.scope, mix_layers(features, self.layers), self._logits(features))

    def _logits(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        from fsat_tasks.numerics.frozen_head import mix_layers

        logits: NDArray[np.float64] = mix_layers(features, self.layers) @ self.weight.T.astype("f8") + self.bias
        return logits


def save_head(head: Head, folder: Path) -> None:
    """Write head.safetensors and head.json."""
    import numpy as np
    from safetensors.numpy import save

    scope = {f"scope.{name}": value for name, value in asdict(head.scope).items() if isinstance(value, np.ndarray)}
    tensors = {"weight": head.weight, "bias": head.bias, **scope}
    data = save({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()})
    (folder / "head.safetensors").write_bytes(data)  # save_file's own error on a full disk is no OSError
    write_json(folder / "head.json", {
        "labels": head.labels, "layers": head.layers, "temperature": head.temperature, "lines": head.lines, "rung": head.rung,
        "nearest": head.scope.nearest, "scope_threshold": finite(head.scope_threshold),
        "set_thresholds": {coverage: finite(value) for coverage, value in head.set_thresholds.items()},
    })  # fmt: skip


def load_head(tuned: Artefact) -> Head:
    import numpy as np
    from safetensors.numpy import load_file

    from fsat_tasks.numerics.scope import ScopeModel

    tensors, settings = load_file(tuned.path / "head.safetensors"), tuned.json("head.json")
    arrays = {field.name: tensors[f"scope.{field.name}"].astype(np.float64) for field in fields(ScopeModel)
              if f"scope.{field.name}" in tensors}  # fmt: skip
    return Head(
        labels=settings["labels"], layers=settings["layers"], weight=tensors["weight"], bias=tensors["bias"],
        temperature=settings["temperature"], lines=settings["lines"], rung=settings["rung"],
        scope=ScopeModel(**arrays, nearest=settings["nearest"], temperature=settings["temperature"]),
        scope_threshold=float(settings["scope_threshold"]),
        set_thresholds={coverage: float(value) for coverage, value in settings["set_thresholds"].items()},
    )  # fmt: skip


def finite(value: float) -> float | str:
    """A number as JSON can hold it: infinity as text, which float() reads."""
    return value if math.isfinite(value) else str(value)
