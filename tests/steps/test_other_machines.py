"""A machine goes on from artefacts of machines of another kind: with a GPU, or with other cores."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.errors import DeviceError, OutOfMemoryError
from fsat_tasks.models import variants
from fsat_tasks.models.served import ServedModel
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.runs import run as run_module
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime import device, numeric_class
from fsat_tasks.runtime.numeric_class import CPU_CLASS, PLANNED_CLASSES
from fsat_tasks.steps import export, tune
from fsat_tasks.steps.changed import is_done
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic.watch import first_alarm, watch_traffic
from task_folder import Row


@contextmanager
def machine_with_a_gpu() -> Iterator[None]:
    """Pretend to be a machine with a GPU: keys are those of a GPU, but the processor does the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "cuda_devices", lambda: 1)
        for module in (device, numeric_class):
            patch.setattr(module, "onnxruntime_runs_on_cuda", lambda: True)
        patch.setattr(run_module, "Encoder", lambda encoder, device, source=None: Encoder(encoder, "cpu"))
        patch.setattr(tune, "planned_class", lambda device: PLANNED_CLASSES[0])
        yield


@pytest.fixture
def task(make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path) -> str:
    """A task with query rows, whose perturbed copies are new texts, and a budget too small to fine-tune the encoder."""
    return make_task(toy_rows[::2], query=toy_rows[1::2], tune={"body": "full", "budget_seconds": 0.01})


def test_steps_after_those_on_a_gpu_take_what_it_made_on_a_machine_without_one(task: str) -> None:
    with machine_with_a_gpu():
        made = run_steps(load_task(task), "tune")
    assert "body.safetensors" not in made["tune"].manifest["files"]
    after = run_steps(load_task(task))
    for step in ("extract", "tune"):
        assert not after[step].built
        assert (after[step].key, "-cuda-" in after[step].manifest["numeric_class"]) == (made[step].key, True)
    assert after["evaluate"].manifest["numeric_class"] == "onnxruntime-cpu-fp32"
    assert after["evaluate"].json("metrics.json")["robustness"]["rows"] > 0
    assert is_done(load_task(task))
    traffic = load_task(task).folder / "query.csv"
    store = Store(Path(os.environ["FSAT_STORE"]))
    watched = watch_traffic(load_task(task, {"device": "cpu"}), store, traffic)
    assert watched.manifest["numeric_class"] == "onnxruntime-cpu-fp32"
    with machine_with_a_gpu():
        again = watch_traffic(load_task(task, {"device": "cuda"}), store, traffic)
    assert again.key != watched.key
    assert [first_alarm(store, one) for one in (watched, again)] == [True, False]
    assert watch_traffic(load_task(task), store, traffic).key == again.key
    with machine_with_a_gpu():  # nor does a machine with one do again what was done without
        assert [step for step, one in run_steps(load_task(task)).items() if one.built] == []


def test_new_texts_beside_features_of_a_gpu_are_encoded_on_the_cpu_and_known_ones_only_on_such_a_gpu(task: str) -> None:
    with machine_with_a_gpu():
        made = run_steps(load_task(task), "tune")
    spec, store = load_task(task), Store(Path(os.environ["FSAT_STORE"]))
    known = spec.folder.joinpath("samples.csv").read_text("utf-8").splitlines()[1].split(",")[0]
    run = Run(spec, store, made)
    assert np.isfinite(run.features([known])).all()
    with pytest.raises(DeviceError, match="onnxruntime-cuda-fp16, in which the task's earlier rows were encoded"):
        run.features(["a text that no one has seen"])
    assert run.encoding_class("cpu") == CPU_CLASS
    assert np.isfinite(run.features(["a text that no one has seen"], CPU_CLASS)).all()


def test_graphs_are_judged_without_a_gpu_that_is_full_where_any_device_will_do(
    task: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def served(folder: Path, graph: str, device: str, kept: object) -> ServedModel:
        if device == "cuda":
            raise RuntimeError("[ONNXRuntimeError] : 1 : CUDA failure 2: out of memory ; GPU=0")
        return ServedModel(folder, graph)

    before = run_steps(load_task(task), "evaluate")
    monkeypatch.setattr(device, "pick_device", lambda wanted: "cuda")
    monkeypatch.setattr(export, "onnx_device", lambda device: device)
    monkeypatch.setattr(variants, "ServedModel", served)
    made = run_steps(load_task(task), "export")
    assert not any(made[step].built for step in before)
    assert made["export"].manifest["numeric_class"] == "onnxruntime-cpu-fp32"
    assert {variant["device"] for variant in made["export"].json("variants.json")} == {"cpu"}
    assert "Going on with the CPU" in caplog.text
    with pytest.raises(OutOfMemoryError):
        export.export(Run(load_task(task, {"device": "cuda"}), Store(Path(os.environ["FSAT_STORE"])), made))


def test_what_a_gpu_held_is_freed_before_the_cpu_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        pass

    alive = None

    def work(device: str) -> str:
        nonlocal alive
        if device == "cuda":
            held = Held()
            alive = weakref.ref(held)
            raise OutOfMemoryError("no memory")
        assert alive is not None and alive() is None
        return device

    monkeypatch.setattr(device, "pick_device", lambda wanted: "cuda")
    assert device.or_on_the_cpu("auto", work) == "cpu"
    with pytest.raises(OutOfMemoryError):
        device.or_on_the_cpu("cuda", work)


def test_evaluation_goes_on_with_the_cpu_where_the_gpu_is_gone(
    task: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with machine_with_a_gpu():
        run_steps(load_task(task), "tune")
        monkeypatch.setattr(run_module, "Encoder", gone)
        made = run_steps(load_task(task), "evaluate")["evaluate"]
    assert made.manifest["numeric_class"] == "onnxruntime-cpu-fp32"
    assert "Going on with the CPU" in caplog.text


def gone(encoder: Artefact, device: str, source: object = None) -> Encoder:
    if device == "cuda":
        raise DeviceError("device cuda", "a GPU that answers", "CUDA error: unknown error")
    return Encoder(encoder, "cpu")


def test_a_task_that_asks_for_the_cpu_does_not_take_what_a_gpu_made(task: str) -> None:
    with machine_with_a_gpu():
        run_steps(load_task(task), "tune")
    own = run_steps(load_task(task, {"device": "cpu"}), "tune")
    assert [own[step].manifest["numeric_class"].count("cuda") for step in ("extract", "tune")] == [0, 0]
    # both are there now: whoever asks for any device takes the same one
    assert "-cuda-" in run_steps(load_task(task), "tune")["tune"].manifest["numeric_class"]


def test_what_was_tuned_with_other_cores_is_found(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_steps(load_task(task), "tune")["tune"]
    for cores in (1, 3, 64):
        monkeypatch.setattr(numeric_class, "available_cores", lambda cores=cores: cores)
        again = run_steps(load_task(task), "tune")["tune"]
        assert (again.key, again.built) == (first.key, False)


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 5, 64])
def test_bodies_at_once_are_the_folds_over_the_rounds_that_they_take(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numeric_class, "available_cores", lambda: cores)
    assert numeric_class.bodies_at_once() == FOLDS / math.ceil(FOLDS / cores)
    assert numeric_class.planned_class("cpu") in numeric_class.PLANNED_CLASSES
    assert numeric_class.planned_class("cuda") in numeric_class.PLANNED_CLASSES
