"""Step 3, tune: fit a calibrated head on the samples' features, its settings chosen by leave-one-out evidence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsat_tasks.extract import load_features
from fsat_tasks.spec import Task
from fsat_tasks.store import Artefact, Recipe, Store, write_json
from fsat_tasks.validate import CLASSES, load_split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Head", "load_head", "tune"]


def tune(task: Task, store: Store, validated: Artefact, extracted: Artefact) -> Artefact:
    """Fit the anchored linear probe; leave-one-out evidence chooses the layers, the prior, the ridge and the temperature.

    Writes head.safetensors (weight, bias), head.json (labels, temperature, settings), evidence.json (every candidate)
    and leave_one_out.npy, the kept candidate's logits (samples, classes) at temperature 1.
    """
    recipe = Recipe(
        "tune", 3,
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

    from fsat_tasks.numerics.frozen_head import fit_frozen_head

    classes, samples = load_split(validated, CLASSES), load_split(validated, "samples")
    features = load_features(extracted)  # (texts, layers, dim)
    all_labels = np.searchsorted(classes.labels, samples.labels)  # classes are sorted
    rows = choose_shots(all_labels, task.spec.shots, task.spec.seed)
    # one thread: products this small lose by sharing, and the result does not depend on the number of cores
    with threadpool_limits(1):
        tuned = fit_frozen_head(features[samples.text_ids[rows]], all_labels[rows], features[classes.text_ids])

    head, chosen = tuned.head, tuned.chosen
    tensors = {"weight": np.ascontiguousarray(head.weight, np.float32), "bias": np.ascontiguousarray(head.bias, np.float32)}
    (folder / "head.safetensors").write_bytes(save(tensors))  # save_file's own error on a full disk is no OSError
    settings = {"layers": chosen.layers, "prior": chosen.prior, "ridge": chosen.ridge, "temperature": chosen.temperature}
    write_json(folder / "head.json", {"labels": classes.labels, **settings, "lines": [samples.lines[i] for i in rows]})
    write_json(folder / "evidence.json", [asdict(candidate) for candidate in tuned.trace])
    np.save(folder / "leave_one_out.npy", tuned.held_out.astype(np.float32), allow_pickle=False)
    return {"samples": len(rows), "classes": len(classes.labels), **settings, "seed": task.spec.seed}


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
    """A tuned head: probabilities are softmax((the last layers' unit rows @ weight.T + bias) / temperature)."""

    labels: list[str]
    layers: int
    """The encoder's last so many layers, side by side."""
    weight: NDArray[np.float32]  # (classes, layers * dim)
    bias: NDArray[np.float32]  # (classes,)
    temperature: float
    lines: list[int]
    """Lines of the samples file that it was fitted on."""

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """(n, all layers, dim) to (n, classes)."""
        from scipy.special import softmax

        from fsat_tasks.numerics.frozen_head import mix_layers

        logits = mix_layers(features, self.layers) @ self.weight.T.astype("f8") + self.bias
        probabilities: NDArray[np.float64] = softmax(logits / self.temperature, axis=1)
        return probabilities


def load_head(tuned: Artefact) -> Head:
    from safetensors.numpy import load_file

    tensors, settings = load_file(tuned.path / "head.safetensors"), tuned.json("head.json")
    return Head(
        settings["labels"], settings["layers"], tensors["weight"], tensors["bias"], settings["temperature"], settings["lines"]
    )
