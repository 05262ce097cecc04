"""The head that the samples alone teach, as `tune` kept it: what judges rows where those that taught the model must not.

Its features are those of the pretrained encoder. So what it says of a pool row does not depend on the row's having been in the
pool, while the model itself is surer of the pool that taught it than of new rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fsat_tasks.data.tables import CLASSES, load_split, load_texts
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.heads.scope import ScopeModel

__all__ = ["Judged", "SamplesHead", "load_samples_head"]


@dataclass(frozen=True)
class Judged:
    """Rows, and what the head says of them."""

    rows: NDArray[np.float64]  # (n, dim) features of unit length
    probabilities: NDArray[np.float64]  # (n, classes), calibrated
    outside: NDArray[np.bool_]  # (n,) whether a row is out of scope

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class SamplesHead:
    """Frozen probe, temperature and scope; its class shares are those that it was fitted on."""

    labels: list[str]
    layers: int
    weight: NDArray[np.float32]  # (classes, layers * dim)
    bias: NDArray[np.float32]  # (classes,)
    temperature: float
    source: NDArray[np.float64]  # (classes,)
    scope: ScopeModel
    scope_threshold: float
    samples: Judged
    """Each left out."""

    def judge(self, features: NDArray[np.floating[Any]]) -> Judged:
        """(n, all layers, dim)."""
        from scipy.special import softmax

        from fsat_tasks.numerics.geometry.layers import mix_layers
        from fsat_tasks.numerics.heads.scope import scope_scores

        rows = mix_layers(features, self.layers)
        logits = rows @ self.weight.T.astype("f8") + self.bias
        outside = scope_scores(self.scope, rows, logits) < self.scope_threshold
        return Judged(rows, softmax(logits / self.temperature, axis=1), outside)


def load_samples_head(
    validated: Artefact, tuned: Artefact, features: Callable[[Sequence[str]], NDArray[np.float32]]
) -> SamplesHead:
    """The head of a run.

    Args:
        features: texts -> features (n, all layers, dim) of the pretrained encoder.
    """
    import numpy as np
    from safetensors.numpy import load_file
    from scipy.special import softmax

    from fsat_tasks.numerics.evidence.calibration import fit_temperature
    from fsat_tasks.numerics.geometry.layers import mix_layers
    from fsat_tasks.numerics.heads.scope import coverage_threshold, fit_scope
    from fsat_tasks.numerics.shift.label_shift import shots_prior

    baseline = load_file(tuned.path / "baseline.safetensors")
    texts, samples, classes = load_texts(validated), load_split(validated, "samples"), load_split(validated, CLASSES)
    at = {line: number for number, line in enumerate(samples.lines)}
    numbers = [at[line] for line in tuned.json("head.json")["lines"]]
    labels = np.searchsorted(classes.labels, [samples.labels[i] for i in numbers])
    shots, names = (features([texts[i] for i in ids]) for ids in (samples.text_ids[numbers], classes.text_ids))
    layers = baseline["weight"].shape[1] // shots.shape[2]
    rows, held_out = mix_layers(shots, layers), baseline["held_out"].astype("f8")
    temperature = fit_temperature(held_out, labels)
    scope = fit_scope(rows, labels, mix_layers(names, layers), temperature, held_out)
    threshold = coverage_threshold(scope.held_out, tuned.manifest["config"]["coverage"])
    return SamplesHead(
        classes.labels,
        layers,
        baseline["weight"],
        baseline["bias"],
        temperature,
        shots_prior(labels, len(classes.labels)),
        scope,
        threshold,
        Judged(rows, softmax(held_out / temperature, axis=1), scope.held_out < threshold),
    )
