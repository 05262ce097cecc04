"""Stores for housekeeping: small artefacts of every step, their ages, and rows of the row cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.encoders.backends import Layers
from fsat_tasks.encoders.encoder import Encoder, Progress
from fsat_tasks.encoders.row_cache import RowCache
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runtime.numeric_class import CPU_CLASS
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json

DAY = 86_400.0
LINE = {"encoder": 1, "validate": 1, "extract": 1, "tune": 1, "export": 1, "publish": 1}
TEXTS = [f"text {number}" for number in range(40)]


def build(store: Store, step: str, number: int = 0, **parents: Artefact) -> Artefact:
    def write(folder: Path) -> None:
        (folder / "content").write_text(f"{step} {number}")

    return store.build(Recipe(step, 1, {"number": number}, {}, parents=parents), write)


def decide(store: Store, number: int, promote: bool = True) -> tuple[Artefact, Artefact]:
    """Make a model, the decision about it, and all artefacts that they come from, as a run does."""

    def write(folder: Path) -> None:
        write_json(folder / "decision.json", {"promote": promote, "metrics": {}})

    encoder = build(store, "encoder")
    extracted = build(store, "extract", number, validate=build(store, "validate", number), encoder=encoder)
    model = build(store, "export", number, tune=build(store, "tune", number, extract=extracted))
    return model, store.build(Recipe("publish", 1, {"number": number}, {}, parents={"export": model}), write)


def publish(store: Store, number: int, promote: bool = True) -> Artefact:
    model, decision = decide(store, number, promote)
    registry = Registry(store.root, "task")
    registry.record(model, decision, registry.version())
    return model


def age(store: Store, days: float) -> None:
    """Set the last use of everything back."""
    for path in store.root.rglob("*"):
        then = path.stat().st_mtime - days * DAY
        os.utime(path, (then, then))


def content(root: Path) -> dict[str, tuple[float, bytes]]:
    """Return the files and their times."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def steps(store: Store) -> dict[str, int]:
    """Return step -> number of artefacts."""
    found = [path.parent.parent.parent.name for path in store.root.glob("*/??/*/manifest.json") if path.parent.name[0] != "."]
    return {step: found.count(step) for step in found}


class Numbers(Encoder):
    """A stand-in for an encoder: a text's features are its letters, and it counts the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_distinct(
        self, texts: list[str], layers: Layers, progress: Progress | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        self.texts += texts
        rng = [np.random.default_rng([ord(letter) for letter in text]).normal(size=(2, 3)) for text in texts]
        return np.array(rng, np.float32), np.array([len(text) % 2 == 0 for text in texts])


def encode(store: Store, encoder: Artefact, texts: list[str]) -> tuple[RowCache, np.ndarray]:
    cache = RowCache(store, encoder, CPU_CLASS, Numbers)
    return cache, cache.features(texts)


def segments(store: Store) -> list[Path]:
    return sorted(store.root.glob("rows-*/??/[!.]*/"))
