"""Watch: is a window of new traffic still like the rows that the champion was tuned with?

No step of the pipeline: it takes the champion as it is published, and moves nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.data.pool import draw_pool_rows, load_pool_texts, pool_size
from fsat_tasks.data.tables import load_split, load_texts
from fsat_tasks.encoders.features import class_here, open_features
from fsat_tasks.errors import DataError
from fsat_tasks.registry.champion import champion_model
from fsat_tasks.registry.registry import find_published
from fsat_tasks.runtime.device import or_on_the_cpu
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import canonical_json, write_json
from fsat_tasks.tasks.spec import Task
from fsat_tasks.traffic.reference import Judged, SamplesHead, load_samples_head
from fsat_tasks.traffic.window import read_window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.numerics.shift.class_shares import SharesApart
    from fsat_tasks.numerics.shift.drift import Shift

    Features = Callable[[Sequence[str]], NDArray[np.float32]]

__all__ = ["drift_event", "first_alarm", "watch"]

REFERENCE_ROWS = 2000
"""Of the pool, drawn by the seed: four times the window, more would see little more."""

Kind = Literal["unlabelled", "query", "samples"]

REFERENCES: dict[Kind, str] = {
    "unlabelled": "the unlabelled rows that the champion was tuned with",
    "query": "the champion's query rows, since it was tuned without unlabelled rows; where their class shares were chosen and "
    "not found, that is drift too",
    "samples": "the champion's samples, since it has neither unlabelled nor query rows; they were chosen, so that class shares "
    "are not compared, and drift may be no more than that choice",
}


def watch(task: Task, store: Store, traffic: Path) -> Artefact:
    """Compare the traffic's newest rows with the champion's reference: features, class shares, share of rows out of scope.

    Writes drift.json: the verdict, each test with its figure and p-value, and the class shares with their intervals. Only texts
    that were never encoded cost encoder time: on a machine without the GPU that the champion was made on, these are all.

    Raises:
        RegistryError: where the task has no champion, or what it was made from is no longer in the store.
        DataError: where the traffic cannot be read.
        DeviceError: where the task wants a device that is not here.
    """
    with at_work(task.name, "watch"):
        return or_on_the_cpu(task.spec.device, lambda device: _watch(task, store, traffic, device))


def _watch(task: Task, store: Store, traffic: Path, device: Device) -> Artefact:
    model = champion_model(task.name)
    tuned, validated = (find_published(store, task.name, model.manifest["parents"][step]) for step in ("tune", "validate"))
    extracted = find_published(store, task.name, tuned.manifest["parents"]["extract"])
    texts, numeric_class = read_window(task, traffic), class_here(store, extracted, device)
    recipe = Recipe(
        "watch",
        1,
        config={"significance": task.spec.watch.significance, "seed": task.spec.seed},
        inputs={
            "model": model.digest,
            "tune": tuned.digest,
            "validate": validated.digest,
            "extract": extracted.digest,
            "window": hashlib.sha256(canonical_json(texts).encode()).hexdigest(),
        },
        numeric_class=numeric_class,
        parents={"export": model, "tune": tuned, "validate": validated, "extract": extracted},
    )

    def write(folder: Path) -> dict[str, Any]:
        features = open_features(task, store, extracted, numeric_class)
        head = load_samples_head(validated, tuned, features)
        reference, window = _compared(validated, tuned, extracted, texts, head, features, str(traffic))
        found = _compare(reference, window, head, task.spec.watch.significance, task.spec.seed)
        write_json(folder / "drift.json", {"task": task.name, "model": model.reference(), **found})
        p_values = {f"p_{test['test']}": test["p_value"] for test in found["tests"]}
        return {"drift": found["drift"], "window": len(window), "reference": len(reference.judged), **p_values}

    found = store.find_first(recipe, (*CUDA_CLASSES, CPU_CLASS)) if task.spec.device == "auto" else None
    return found or store.build(recipe, write)


def first_alarm(store: Store, watched: Artefact) -> bool:
    """Whether nobody was told before of drift in this window beside this champion, on any machine; from now on somebody was."""
    about = watched.manifest
    recipe = Recipe("alarm", 2, config=about["config"], inputs=about["inputs"], parents={"watch": watched})
    return store.build(recipe, lambda folder: None).built


def drift_event(task: Task, watched: Artefact, traffic: Path) -> dict[str, Any]:
    """What is told of drift: the task, the traffic's path as `unlabelled` of task.yaml wants it, and the figures."""
    drift = watched.json("drift.json")
    return {
        "task": task.name,
        "unlabelled": os.path.relpath(traffic, task.folder.resolve()),
        "watch": watched.reference(),
        "tests": {test["test"]: {"figure": test["figure"], "p_value": test["p_value"]} for test in drift["tests"]},
        "total_variation": drift["total_variation"],
        "out_of_scope": drift["out_of_scope"],
    }


@dataclass(frozen=True)
class _Reference:
    kind: Kind
    judged: Judged


def _compared(
    validated: Artefact, tuned: Artefact, extracted: Artefact, window: list[str], head: SamplesHead, features: Features, file: str
) -> tuple[_Reference, Judged]:
    """The reference and the window, as the head sees them; on neither side with texts that taught it."""
    all_texts, samples = load_texts(validated), load_split(validated, "samples")
    taught = {all_texts[i] for i in samples.text_ids}

    def judge(texts: list[str]) -> Judged | None:
        new = [text for text in texts if text not in taught]
        return head.judge(features(new)) if len(new) > 1 else None

    judged = judge(window)
    if judged is None:
        raise DataError(file, "two rows or more that are no samples of the task", "fewer")
    used = extracted.manifest["config"].get("pool_rows", REFERENCE_ROWS)
    rows = draw_pool_rows(validated, min(REFERENCE_ROWS, used), extracted.manifest["config"].get("seed", 0))
    if pool_size(validated) and (pool := judge(list(load_pool_texts(validated, rows)))):
        return _Reference("unlabelled", pool), judged
    if query := judge([all_texts[i] for i in load_split(validated, "query").text_ids]):
        return _Reference("query", query), judged
    return _Reference("samples", head.samples), judged


def _compare(reference: _Reference, window: Judged, head: SamplesHead, significance: float, seed: int) -> dict[str, Any]:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from fsat_tasks.numerics.shift.class_shares import shares_apart
    from fsat_tasks.numerics.shift.drift import feature_shift, holm, label_shift, scope_rise

    old = reference.judged
    with threadpool_limits(1):  # the same digits on any number of cores
        shifts = {"features": feature_shift(old.rows, window.rows, seed), "scope": scope_rise(old.outside, window.outside)}
        shares = None
        if reference.kind != "samples":
            shifts["labels"] = label_shift(old.probabilities, window.probabilities, seed)
            shares = shares_apart(old.probabilities, window.probabilities, head.source, seed)
    adjusted = holm(np.array([shift.p_value for shift in shifts.values()]))
    tests = [
        {
            "test": name,
            "figure": shift.figure,
            "by_chance": shift.by_chance,
            "p_value": shift.p_value,
            "adjusted_p_value": float(p_value),
            "drift": bool(p_value <= significance),
            "says": SENTENCES[name](shift),
        }
        for (name, shift), p_value in zip(shifts.items(), adjusted, strict=True)
    ]
    return {
        "drift": any(test["drift"] for test in tests),
        "significance": significance,
        "window": {"rows": len(window)},
        "reference": {"kind": reference.kind, "rows": len(old), "says": REFERENCES[reference.kind]},
        "tests": tests,
        "out_of_scope": {"reference": float(old.outside.mean()), "window": float(window.outside.mean())},
        "total_variation": None
        if shares is None
        else {
            "estimate": shares.total_variation,
            "low": shares.total_variation_low,
            "high": shares.total_variation_high,
        },
        "classes": [] if shares is None else _classes(head.labels, shares),
    }


SENTENCES: dict[str, Callable[[Shift], str]] = {
    "features": lambda shift: f"squared MMD of the features {shift.figure:.2g}, by chance {shift.by_chance:.2g}",
    "labels": lambda shift: f"chi-square distance of the class shares {shift.figure:.2g}, by chance {shift.by_chance:.2g}",
    "scope": lambda shift: f"{shift.figure:.1%} of the rows out of scope, of the reference's {shift.by_chance:.1%}",
}


def _classes(labels: list[str], shares: SharesApart) -> list[dict[str, Any]]:
    """Each class's share, those that moved most first."""
    rows = [
        {"label": label, "reference": float(before), "window": float(after), "window_low": float(low), "window_high": float(high)}
        for label, before, after, low, high in zip(labels, shares.reference, shares.window, shares.low, shares.high, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row["window"] - row["reference"]))
