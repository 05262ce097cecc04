"""Encoders and runs on a GPU: answers agree with the processor's, short memory is handled, and a whole run publishes.

CUDA_VISIBLE_DEVICES=0 pytest tests/encoders/test_gpu.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.data.readers import iter_cells
from fsat_tasks.encoders import backends
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.export import export_encoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.models.served import ServedModel
from fsat_tasks.runtime import numeric_class
from fsat_tasks.runtime.device import pick_device
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.tuning.fine_tuning import encode_rows, fine_tune, load_torch_encoder, tuned_weights
from fsat_tasks.tuning.jobs import FineTuningSettings, TrainingRows

pytestmark = pytest.mark.skipif(pick_device("auto") == "cpu", reason="needs CUDA_VISIBLE_DEVICES, and a GPU that torch can use")


def texts_of(file: Path) -> list[str]:
    return [text for _, (text,) in iter_cells(file, ["text"], 20_000) if text]


@pytest.fixture(scope="module")
def exported(source: EncoderSource, tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return export_encoder(source, Store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def texts(repository: Path) -> list[str]:
    """The demo's traffic, an empty text and a long one."""
    return [*texts_of(repository / "data/support-intents/unlabelled.jsonl"), "", "word " * 300]


@pytest.fixture(params=["onnxruntime", "torch"])
def on_gpu(request: pytest.FixtureRequest, exported: Artefact, source: EncoderSource, monkeypatch: pytest.MonkeyPatch) -> Encoder:
    if request.param == "torch":
        for module in (backends, numeric_class):
            monkeypatch.setattr(module, "onnxruntime_runs_on_cuda", lambda: False)
    elif not onnxruntime_runs_on_cuda():
        pytest.skip("ONNX Runtime cannot use the GPU")
    return Encoder(exported, "cuda", source)


def least_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the smallest cosine of pairs of unit rows."""
    return float((one.astype(np.float64) * other.astype(np.float64)).sum(axis=-1).min())


def test_features_agree_with_the_processors(on_gpu: Encoder, exported: Artefact, texts: list[str]) -> None:
    expected = Encoder(exported, "cpu").encode(texts, "all")
    features = on_gpu.encode(texts, "all")
    assert features.dtype == np.float32
    assert on_gpu.numeric_class.device == "cuda"
    assert least_cosine(features, expected) > 0.999
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-5)


def test_features_are_the_same_twice_and_near_in_other_company(on_gpu: Encoder, texts: list[str]) -> None:
    once = on_gpu.encode(texts)
    np.testing.assert_array_equal(on_gpu.encode(texts), once)
    assert least_cosine(on_gpu.encode(texts[:7]), once[:7]) > 0.9999


def test_batches_for_which_there_is_no_memory_are_halved(
    exported: Artefact, source: EncoderSource, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for module in (backends, numeric_class):
        monkeypatch.setattr(module, "onnxruntime_runs_on_cuda", lambda: False)
    encoder = Encoder(exported, "cuda", source)
    many = [f"{text} {i}" for i in range(40) for text in texts]
    torch.cuda.empty_cache()
    used, whole = torch.cuda.memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((used + 200e6) / whole)  # a batch of 65,536 tokens takes some hundred MB
    try:
        features = encoder.encode(many)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert encoder.counts.halved > 0
    assert least_cosine(encoder.encode(many[:50]), features[:50]) > 0.999


def test_same_seed_tunes_the_same_encoder_and_features_move(source: EncoderSource, exported: Artefact, texts: list[str]) -> None:
    rows = Encoder(exported, "cpu").prepare(texts[:64])
    labels = np.arange(64) % 4
    before = encode_rows(load_torch_encoder(source, "cuda"), rows)[:, -1]
    vectors = np.stack([before[labels == c].mean(axis=0) for c in range(4)])
    training = TrainingRows(rows, np.eye(4, dtype=np.float32)[labels], vectors)
    tuned = []
    for _ in range(2):
        encoder = load_torch_encoder(source, "cuda")
        fine_tune(encoder, training, FineTuningSettings(epochs=3), 0)
        tuned.append(tuned_weights(encoder))
    for name, weight in tuned[0].items():
        assert bool((weight == tuned[1][name]).all()), name
    after = encode_rows(encoder, rows)[:, -1]
    assert least_cosine(after, before) < 0.999


@pytest.fixture
def demo(make_task: Callable[..., str], data_root: Path, repository: Path) -> Callable[..., str]:
    """A copy of the demo with other keys in its task.yaml."""

    def make(**keys: object) -> str:
        source = repository / "data/support-intents"
        name = make_task((source / "samples.csv").read_bytes(), query="query.jsonl", unlabelled="unlabelled.jsonl", **keys)
        for file in ("query.jsonl", "unlabelled.jsonl"):
            shutil.copyfile(source / file, data_root / name / file)
        return name

    return make


def test_machine_without_a_gpu_goes_on_from_what_one_with_it_made(demo: Callable[..., str]) -> None:
    name = demo(tune={"body": "off"}, gates={"min_accuracy": 0.4, "min_macro_f1": 0.4, "min_class_recall": 0.1, "max_ece": 0.3})
    made = run_steps(load_task(name), "tune")
    assert "-cuda-" in made["extract"].manifest["numeric_class"]
    query = load_task(name).folder / "query.jsonl"
    for arguments, codes in (["run", name], {0}), (["watch", name, str(query)], {0, 4}):
        done = subprocess.run(
            [sys.executable, "-m", "fsat_tasks.cli", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
        assert done.returncode in codes, done.stderr
    store = Path(os.environ["FSAT_STORE"])
    for step, classes in {"extract": "-cuda-", "tune": "numpy", "evaluate": "-cpu-", "export": "-cpu-", "watch": "-cpu-"}.items():
        (manifest,) = store.glob(f"{step}/??/*/manifest.json")
        assert classes in json.loads(manifest.read_text("utf-8"))["numeric_class"], step


def test_run_on_a_gpu_publishes_a_model_that_every_provider_serves(demo: Callable[..., str], repository: Path) -> None:
    made = run_steps(load_task(demo(device="cuda", tune={"body": "full", "budget_seconds": 120})))
    query = texts_of(repository / "data/support-intents/query.jsonl")
    assert "-cuda-" in made["extract"].manifest["numeric_class"]
    assert "cuda" in made["tune"].manifest["numeric_class"]
    variants: list[dict[str, Any]] = made["export"].json("variants.json")
    on_gpu = {variant["name"]: variant for variant in variants if variant["device"] == "cuda"}
    if not onnxruntime_runs_on_cuda():
        assert not on_gpu
    else:
        assert set(on_gpu) == {"fp32", "fp16"}
        assert all(variant["passes"] for variant in on_gpu.values()), on_gpu
        folder = made["export"].path
        p, _ = ServedModel(folder, "model.onnx").run(query)
        half, _ = ServedModel(folder, "model-fp16.onnx", "cuda").run(query)
        assert np.abs(p - half).max() < 0.05
    assert made["publish"].json("decision.json")["metrics"]["accuracy"] > 0.6
