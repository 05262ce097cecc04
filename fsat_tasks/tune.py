"""Step 3, tune: fit a calibrated head on the samples' features, its settings chosen by leave-one-out evidence."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.extract import load_features
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, write_json
from fsat_tasks.validate import CLASSES, load_split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.probe import LinearHead

__all__ = ["Head", "load_head", "tune"]

PRIORS = (0.5, 1.0, 2.0, 4.0)
"""Rows that a class name counts for (alpha)."""
RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)


def tune(task: Task, store: Store, validated: Artefact, extracted: Artefact) -> Artefact:
    """Fit the anchored linear probe for every pair of settings and keep the one with the least leave-one-out log-loss.

    Writes head.safetensors (weight, bias), head.json (labels, temperature, settings), evidence.json (every candidate)
    and leave_one_out.npy, the kept candidate's logits (samples, classes) at temperature 1.
    """
    recipe = Recipe(
        "tune", 1,
        config={"shots": task.spec.shots, "seed": task.spec.seed},
        inputs={"rows": validated.sha256("rows.parquet"), "features": extracted.sha256("features.npy")},
        numeric_class="numpy-cpu-fp64",
        parents={"validate": validated, "extract": extracted},
    )  # fmt: skip
    return store.build(recipe, lambda folder: _tune(task, validated, extracted, folder))


def _tune(task: Task, validated: Artefact, extracted: Artefact, folder: Path) -> dict[str, Any]:
    import numpy as np
    from safetensors.numpy import save
    from threadpoolctl import threadpool_limits

    from fsat_tasks.numerics.calibration import fit_temperature, log_loss
    from fsat_tasks.numerics.probe import approximate_loo_logits, fit_probe

    classes, samples = load_split(validated, CLASSES), load_split(validated, "samples")
    features = unit_rows(load_features(extracted)[:, -1])  # (texts, dim)
    all_labels = np.searchsorted(classes.labels, samples.labels)  # classes are sorted
    chosen = choose_shots(all_labels, task.spec.shots, task.spec.seed)
    rows, labels, names = features[samples.text_ids[chosen]], all_labels[chosen], features[classes.text_ids]

    evidence: list[dict[str, float]] = []
    best: tuple[LinearHead, NDArray[np.float64]] | None = None
    # one thread: products this small lose by sharing, and the result does not depend on the number of cores
    with threadpool_limits(1):
        for prior, ridge in itertools.product(PRIORS, RIDGES):
            head = fit_probe(rows, labels, names, prior, ridge)
            held_out = approximate_loo_logits(head, rows, labels, names, prior, ridge)  # (samples, classes)
            temperature = fit_temperature(held_out, labels)
            candidate = {
                "prior": prior, "ridge": ridge, "temperature": temperature,
                "log_loss": log_loss(held_out / temperature, labels),
                "accuracy": float((held_out.argmax(1) == labels).mean()),
            }  # fmt: skip
            if not evidence or candidate["log_loss"] < min(entry["log_loss"] for entry in evidence):
                best, settings = (head, held_out), {"prior": prior, "ridge": ridge, "temperature": temperature}
            evidence.append(candidate)
    assert best is not None
    head, held_out = best
    tensors = {"weight": np.ascontiguousarray(head.weight, np.float32), "bias": np.ascontiguousarray(head.bias, np.float32)}
    (folder / "head.safetensors").write_bytes(save(tensors))  # save_file's own error on a full disk is no OSError
    write_json(folder / "head.json", {"labels": classes.labels, **settings, "lines": [samples.lines[i] for i in chosen]})
    write_json(folder / "evidence.json", evidence)
    np.save(folder / "leave_one_out.npy", held_out.astype(np.float32), allow_pickle=False)
    return {"samples": len(labels), "classes": len(names), **settings, "seed": task.spec.seed}


def unit_rows(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rows on the unit sphere, (n, dim); a row of zeros stays."""
    import numpy as np

    rows = np.asarray(features, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(norms > 0, norms, 1.0)
    return unit


def choose_shots(labels: NDArray[np.int64], shots: int | None, seed: int) -> NDArray[np.int64]:
    """Positions of at most `shots` rows of each class, drawn by the seed, in their old order; all where it is None."""
    import numpy as np

    if shots is None:
        return np.arange(len(labels))
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = np.concatenate([order[labels[order] == label][:shots] for label in np.unique(labels)])
    return np.sort(kept)


@dataclass(frozen=True)
class Head:
    """A tuned head: probabilities are softmax((unit features @ weight.T + bias) / temperature)."""

    labels: list[str]
    weight: NDArray[np.float32]  # (classes, dim)
    bias: NDArray[np.float32]  # (classes,)
    temperature: float
    lines: list[int]
    """Lines of the samples file that it was fitted on."""

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(n, dim) to (n, classes)."""
        from scipy.special import softmax

        logits = unit_rows(features) @ self.weight.T.astype("f8") + self.bias
        probabilities: NDArray[np.float64] = softmax(logits / self.temperature, axis=1)
        return probabilities


def load_head(tuned: Artefact) -> Head:
    from safetensors.numpy import load_file

    tensors, settings = load_file(tuned.path / "head.safetensors"), tuned.json("head.json")
    return Head(settings["labels"], tensors["weight"], tensors["bias"], settings["temperature"], settings["lines"])
