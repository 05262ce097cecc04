"""Where a head's features come from: the row cache, or the tuned body's own encoder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from fsat_tasks.models.tuned import open_head_features

from fsat_tasks.data.tables import load_texts
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.spec import load_task


def found(store: Path, step: str) -> Artefact:
    (path,) = store.glob(f"{step}/*/*/manifest.json")
    return Artefact(path.parent, json.loads(path.read_text()))


def test_a_tuned_body_gives_the_features_and_not_the_row_cache(demo_copy: Path, tmp_path: Path) -> None:
    task, store = load_task("support-intents"), Store(demo_copy)
    validated, extracted, tuned = (found(demo_copy, step) for step in ("validate", "extract", "tune"))
    texts = load_texts(validated)[:40]
    frozen = open_head_features(task, store, extracted, tuned, "cpu")(texts)
    # a body that was tuned not at all: its features are the frozen ones, and come without the cache
    folder = shutil.copytree(found(demo_copy, "encoder").path, tmp_path / "tuned")
    files: dict[str, dict[str, str]] = {name: {} for name in ("encoder.onnx", "encoder.json", "tokenizer.json")}
    body = replace(tuned, path=folder, manifest={**tuned.manifest, "files": {**tuned.manifest["files"], **files}})
    (cache,) = demo_copy.glob("rows-*")
    shutil.rmtree(cache)
    own = open_head_features(task, store, extracted, body, "cpu")(texts)
    assert not cache.exists()
    assert own.shape == frozen.shape
    np.testing.assert_allclose(own, frozen, atol=1e-3)  # the cache keeps half precision
