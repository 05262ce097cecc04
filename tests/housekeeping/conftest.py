"""Fixtures of the housekeeping tests: a store, an encoder in it, and rows that it encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from swept_store import TEXTS, encode, segments


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def encoder(store: Store) -> Artefact:
    def write(folder: Path) -> None:
        (folder / "encoder.onnx").write_text("graph")
        (folder / "tokenizer.json").write_text("{}")
        write_json(folder / "encoder.json", {"layers": 2, "dim": 3, "normalize": True})

    return store.build(Recipe("encoder", 1, {}, {}), write)


@pytest.fixture
def rows(store: Store, encoder: Artefact) -> np.ndarray:
    """The features of TEXTS, in ten segments."""
    parts = [encode(store, encoder, TEXTS[start : start + 4])[1] for start in range(0, 40, 4)]
    assert len(segments(store)) == 10
    return np.concatenate(parts)
