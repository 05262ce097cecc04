"""The tuned head of a task, and the files that store it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsat_tasks.store import Artefact
from fsat_tasks.store.files import write_json
from fsat_tasks.targets.target import Rule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.heads.answers import Probe
    from fsat_tasks.numerics.heads.calibrated import CalibratedHead
    from fsat_tasks.numerics.heads.memory import Memory
    from fsat_tasks.numerics.types import Array, Features

__all__ = ["Baseline", "Head", "finite", "load_baseline", "load_head", "save_baseline", "save_head"]


@dataclass(frozen=True)
class Head:
    """A calibrated head, and the facts that are published with it."""

    rule: Rule
    calibrated: CalibratedHead
    lines: list[int]
    """Line numbers of the samples that the head was fitted on."""
    rung: str
    """The last rung (stage of tuning) that was accepted."""

    @property
    def labels(self) -> list[str]:
        """The classes, in the order of the outputs; empty for a number."""
        return self.rule.labels

    @property
    def layers(self) -> int:
        """Number of the encoder's last layers that the head reads."""
        return self.calibrated.layers

    @property
    def temperature(self) -> float:
        """Divisor of the logits."""
        return self.calibrated.temperature

    @property
    def scope_threshold(self) -> float:
        """Minimum scope score of a text that belongs to the task."""
        return self.calibrated.scope_threshold

    @property
    def memory(self) -> Memory | None:
        """The memory of pool rows; None if the pool did not help."""
        return self.calibrated.memory

    def outputs(self, features: Features) -> Array:
        """Return what the head states, such as probabilities (n, classes), from features (n, all layers, dim)."""
        return self.calibrated.outputs(features)

    def scope_scores(self, features: Features) -> Array:
        """Return scope scores (n,) from features (n, all layers, dim); higher is more in scope."""
        return self.calibrated.scope_scores(features)


def save_head(head: Head, folder: Path) -> None:
    """Write head.safetensors and head.json."""
    import numpy as np
    from safetensors.numpy import save

    linear, memory = head.calibrated.linear, head.memory
    parts = {"scope": asdict(head.calibrated.scope), "memory": asdict(memory) if memory else {}}
    arrays = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
    tensors = {name: value for name, value in arrays.items() if isinstance(value, np.ndarray)}
    tensors |= {"weight": linear.weight, "bias": linear.bias}
    data = save({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()})
    (folder / "head.safetensors").write_bytes(data)  # not save_file: its error on a full disk is no OSError
    settings = {
        **head.rule.to_json(),
        "link": head.calibrated.link.value,
        "layers": head.layers,
        "temperature": head.temperature,
        "lines": head.lines,
        "rung": head.rung,
        "memory_share": memory.share if memory else 0.0,
        "nearest": head.calibrated.scope.nearest,
        "scope_threshold": finite(head.scope_threshold),
    }
    write_json(folder / "head.json", settings)


def load_head(tuned: Artefact) -> Head:
    """Read the head of a `tune` artefact. Its arrays become float64."""
    import numpy as np
    from safetensors.numpy import load_file

    from fsat_tasks.numerics.heads.calibrated import CalibratedHead
    from fsat_tasks.numerics.heads.links import Link
    from fsat_tasks.numerics.heads.memory import Memory, TaughtHead
    from fsat_tasks.numerics.heads.probe import LinearHead
    from fsat_tasks.numerics.heads.scope import ScopeModel

    settings = tuned.json("head.json")
    tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(tuned.path / "head.safetensors").items()}

    def part(prefix: str) -> dict[str, NDArray[np.float64]]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    linear = LinearHead(tensors["weight"], tensors["bias"])
    share = settings["memory_share"]
    link = Link(settings.get("link", Link.SOFTMAX.value))  # heads of one label only, as older versions wrote them, do not name it
    scope = ScopeModel(**part("scope."), nearest=settings["nearest"], temperature=settings["temperature"], link=link)
    calibrated = CalibratedHead(
        TaughtHead(linear, Memory(**part("memory."), share=share)) if share else linear,
        settings["layers"],
        settings["temperature"],
        scope,
        float(settings["scope_threshold"]),
    )
    return Head(Rule.from_json(settings), calibrated, settings["lines"], settings["rung"])


@dataclass(frozen=True)
class Baseline:
    """The frozen probe: a linear head on the pretrained encoder's features, fitted without the pool."""

    weight: NDArray[np.float32]  # (classes, layers * dim)
    bias: NDArray[np.float32]  # (classes,)
    held_out: NDArray[np.float32]  # (samples, classes), logits of each sample from a fit without it

    def logits(self, features: Features) -> Array:
        """Return logits (n, columns), which have no temperature, from features (n, all layers, dim)."""
        from fsat_tasks.numerics.geometry.layers import mix_layers

        rows = mix_layers(features, self.layers(features.shape[2]))
        logits: Array = rows @ self.weight.T.astype("f8") + self.bias
        return logits

    def layers(self, dim: int) -> int:
        """Return the number of the encoder's last layers that the probe reads, if features have `dim` dimensions."""
        return int(self.weight.shape[1] // dim)


def save_baseline(frozen: Probe, folder: Path) -> None:
    """Write baseline.safetensors."""
    import numpy as np
    from safetensors.numpy import save

    tensors = {"weight": frozen.head.weight, "bias": frozen.head.bias, "held_out": frozen.held_out}
    data = save({name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()})
    (folder / "baseline.safetensors").write_bytes(data)


def load_baseline(tuned: Artefact) -> Baseline:
    """Read the frozen probe of a `tune` artefact."""
    from safetensors.numpy import load_file

    return Baseline(**load_file(tuned.path / "baseline.safetensors"))


def finite(value: float) -> float | str:
    """Return a value that JSON can hold. Infinity and NaN become text, which float() reads."""
    return value if math.isfinite(value) else str(value)
