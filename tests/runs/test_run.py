"""A run: the objects that it opens from its artefacts, and the sources of features."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.kept import Kept
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task
from task_folder import Row

T = TypeVar("T")


def found(store: Path, step: str) -> Artefact:
    (path,) = store.glob(f"{step}/*/*/manifest.json")
    return Artefact(path.parent, json.loads(path.read_text()))


def demo_run(store: Path) -> Run:
    artefacts = {step: found(store, step) for step in ("validate", "extract", "tune")}
    return Run(load_task("support-intents"), Store(store), artefacts)


def test_a_tuned_body_gives_the_features_and_not_the_row_cache(demo_copy: Path, tmp_path: Path) -> None:
    run = demo_run(demo_copy)
    texts = run.tables.inputs[:40]
    frozen = run.head_features(texts, "cpu")
    # a body that was tuned not at all: its features are the frozen ones, and come without the cache
    folder = shutil.copytree(found(demo_copy, "encoder").path, tmp_path / "tuned")
    files: dict[str, dict[str, str]] = {name: {} for name in ("encoder.onnx", "encoder.json", "tokenizer.json")}
    body = replace(run.tuned, path=folder, manifest={**run.tuned.manifest, "files": {**run.tuned.manifest["files"], **files}})
    (cache,) = demo_copy.glob("rows-*")
    shutil.rmtree(cache)
    tuned = Run(run.task, run.store, {**run.artefacts, "tune": body})
    assert (run.has_tuned_encoder, tuned.has_tuned_encoder) == (False, True)
    own = tuned.head_features(texts, "cpu")
    assert not cache.exists()
    assert own.shape == frozen.shape
    np.testing.assert_allclose(own, frozen, atol=1e-3)  # the cache keeps half precision


def test_what_a_run_opens_is_opened_once(demo_copy: Path) -> None:
    run = demo_run(demo_copy)
    for name in ("source", "tables", "pool", "encoder", "head"):
        assert getattr(run, name) is getattr(run, name)


def test_a_step_that_has_not_run_has_no_artefact(demo_copy: Path) -> None:
    with pytest.raises(KeyError, match="tune"):
        _ = Run(load_task("support-intents"), Store(demo_copy)).tuned


def test_an_encoder_that_is_gone_is_named_with_what_to_do(demo_copy: Path) -> None:
    run = demo_run(demo_copy)
    shutil.rmtree(demo_copy / "encoder")
    with pytest.raises(StoreError, match=r"expected the encoder that the features are from, .* Run the task again"):
        _ = run.encoder


def test_what_a_run_holds_is_freed_with_it_and_not_by_the_garbage_collector(demo_copy: Path) -> None:
    run = demo_run(demo_copy)
    run.features([*run.tables.inputs[:3], "a text that is encoded now"])
    held = [weakref.ref(one) for one in (run, run.kept, next(iter(run._caches.values())))]
    gc.disable()
    try:
        del run
        assert [one() for one in held] == [None, None, None]
    finally:
        gc.enable()


class Counting(Kept):
    """Kept objects, with a count of those that were made and not found."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[str] = Counter()

    def get(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        def counted() -> T:
            self.made[kind] += 1
            return make()

        return super().get(kind, key, counted)


def test_tasks_of_one_process_share_the_rows_of_a_pool(
    make_task: Callable[..., str], toy_rows: list[Row], data_root: Path, encoder_store: Path
) -> None:
    (data_root / "pool.csv").write_text("text\n" + "".join(f"message {i}\n" for i in range(30)), "utf-8")
    one, another = (make_task(toy_rows[start:], unlabelled="../pool.csv") for start in (0, 1))
    with_another_seed = make_task(toy_rows, unlabelled="../pool.csv", seed=1)
    kept, store = Counting(), Store(encoder_store)
    for name, pools in ((one, 1), (another, 1), (with_another_seed, 2)):
        run_steps(load_task(name), "tune", store=store, kept=kept)
        assert kept.made == {"pool": pools, "tokenizer": 1}
