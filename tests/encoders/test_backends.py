"""Backends agree with each other up to their precision, and errors of libraries become errors of fsat."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.encoders import backends
from fsat_tasks.encoders.artefact import open_preparer
from fsat_tasks.encoders.backends import Backend, Layers, OnnxCpu, OnnxCuda, Torch, open_backend
from fsat_tasks.encoders.prepare import padded_batches
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import DeviceError, EncoderError, FsatError, OutOfMemoryError
from fsat_tasks.runtime import numeric_class as numeric_classes
from fsat_tasks.runtime.failures import NamedErrors
from fsat_tasks.runtime.machine import has_bfloat16
from fsat_tasks.runtime.numeric_class import encoding_class
from fsat_tasks.runtime.session import open_session
from fsat_tasks.store import Artefact

Batch = Mapping[str, NDArray[np.int64]]


class RuntimeException(Exception):  # noqa: N818
    """Stand-in for ONNX Runtime's own exceptions, which have no other base."""


# Errors


def raised_in_place_of(error: Exception) -> Exception:
    with pytest.raises(Exception) as caught, NamedErrors("a batch of (8, 256) tokens"):
        raise error
    return caught.value


def test_what_had_no_memory_is_freed_before_it_is_tried_again() -> None:
    class Batch:
        pass

    def run(batch: Batch) -> None:
        with NamedErrors("a batch of (8, 256) tokens"):
            raise RuntimeError("CUDA error: out of memory")

    gc.disable()  # on a GPU nothing calls it in time
    try:
        batch = Batch()
        alive = weakref.ref(batch)
        with contextlib.suppress(OutOfMemoryError):
            run(batch)
        del batch
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeException("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 1073741824"),
        RuntimeException("[ONNXRuntimeError] : 6 : std::bad_alloc"),
        RuntimeException("[ONNXRuntimeError] : 1 : CUDA failure 2: out of memory ; GPU=0 ; hostname=x"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"),
        RuntimeError("CUDA error: out of memory"),
    ],
    ids=str,
)
def test_lack_of_memory_is_an_out_of_memory_error_with_the_batchs_shape(error: Exception) -> None:
    named = raised_in_place_of(error)
    assert type(named) is OutOfMemoryError
    assert "(8, 256)" in str(named)
    assert named.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeException("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0"),
        RuntimeException("CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED ; GPU=0"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeException("BFCArena::AllocateRawInternal Available memory of 0 is smaller than requested bytes of 97517568"),
    ],
    ids=str,
)
def test_lack_of_memory_in_other_words_is_an_out_of_memory_error(error: Exception) -> None:
    assert type(raised_in_place_of(error)) is OutOfMemoryError


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeException("[ONNXRuntimeError] : 1 : CUDA failure 999: unknown error ; GPU=0"),
        RuntimeException("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0"),
        RuntimeError("No CUDA-capable device is detected"),
    ],
    ids=str,
)
def test_gpu_that_is_gone_is_a_device_error_of_one_line(error: Exception) -> None:
    named = raised_in_place_of(error)
    assert type(named) is DeviceError
    assert named.got == str(error).split("\n")[0]
    assert named.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeException("[ONNXRuntimeError] : 1 : CUDA failure 700: an illegal memory access was encountered ; GPU=0"),
        RuntimeException("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0"),
    ],
    ids=str,
)
def test_gpu_that_is_gone_is_no_lack_of_memory_for_a_message_that_speaks_of_memory(error: Exception) -> None:
    assert type(raised_in_place_of(error)) is DeviceError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("expected 2 dimensions, got 3"),
        RuntimeException("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Invalid Feed Input Name:ids"),
        EncoderError("encoder", "enough memory", "none"),  # ours already
        DeviceError("device cuda", "a GPU", "CUDA error"),
    ],
    ids=str,
)
def test_any_other_error_stays_itself(error: Exception) -> None:
    assert raised_in_place_of(error) is error


def test_an_interrupt_stays_itself() -> None:
    with pytest.raises(KeyboardInterrupt, match="out of memory"), NamedErrors("a batch"):
        raise KeyboardInterrupt("out of memory")


# Agreement


@pytest.fixture(scope="module")
def batch(exported: Artefact) -> Batch:
    """Rows of very different lengths, much padding, and one without any text."""
    texts = ["my card has not arrived", "", "word " * 300, "🎉 hi", "turn off the lights in the kitchen", "naïve café 猫"]
    ((numbers, feed, _),) = padded_batches(open_preparer(exported.path).prepare(texts), 65_536)
    assert len(numbers) == len(texts)
    assert feed["attention_mask"].mean() < 0.5
    return feed


@pytest.fixture(scope="module")
def expected(exported: Artefact, batch: Batch) -> dict[Layers, NDArray[np.float32]]:
    onnx_cpu = OnnxCpu(exported)
    return {"last": onnx_cpu.run(batch, "last"), "all": onnx_cpu.run(batch, "all")}


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = one.astype(np.float64), other.astype(np.float64)
    result: NDArray[np.float64] = (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return result


def assert_agrees(backend: Backend, batch: Batch, expected: dict[Layers, NDArray[np.float32]], least: float) -> None:
    for layers, right in expected.items():
        features = backend.run(batch, layers)
        assert features.shape == right.shape
        assert features.dtype == np.float32
        assert cosine(features, right).min() > least
        np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=0.01)


def test_processor_gives_the_last_of_all_layers(expected: dict[Layers, NDArray[np.float32]]) -> None:
    assert expected["all"].shape == (6, 7, 384)
    np.testing.assert_array_equal(expected["last"], expected["all"][:, -1])


def test_torch_agrees_with_onnx_runtime(source: EncoderSource, batch: Batch, expected: dict[Layers, NDArray[np.float32]]) -> None:
    assert_agrees(Torch(source, "cpu"), batch, expected, 0.999 if has_bfloat16() else 0.999999)


def test_torch_in_float32_agrees_to_the_last_digits(
    source: EncoderSource, batch: Batch, expected: dict[Layers, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numeric_classes, "has_bfloat16", lambda: False)
    torch_cpu = Torch(source, "cpu")
    for layers, right in expected.items():
        np.testing.assert_allclose(torch_cpu.run(batch, layers), right, atol=1e-5)


def test_half_precision_as_on_a_gpu_agrees_with_float32(
    exported: Artefact, batch: Batch, expected: dict[Layers, NDArray[np.float32]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def on_the_processor(model: bytes, device: str) -> object:
        assert device == "cuda"
        sizes.append(len(model))
        return open_session(model, "cpu")

    monkeypatch.setattr(backends, "open_session", on_the_processor)
    assert_agrees(OnnxCuda(exported), batch, expected, 0.999)
    assert sizes[0] < 0.6 * (exported.path / "encoder.onnx").stat().st_size  # it is in half precision


# Choice


def test_processor_runs_onnx_whatever_a_gpu_would(exported: Artefact, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (backends, numeric_classes):
        monkeypatch.setattr(module, "onnxruntime_runs_on_cuda", lambda: True)
    assert isinstance(open_backend(exported, None, "cpu"), OnnxCpu)
    assert str(encoding_class("cpu", "int8")) == "onnxruntime-cpu-int8"
    assert str(encoding_class("cuda", "fp32")) == "onnxruntime-cuda-fp16"


def test_gpu_that_neither_onnx_runtime_nor_torch_can_use_is_said(
    exported: Artefact, source: EncoderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "onnxruntime_runs_on_cuda", lambda: False)
    with pytest.raises(FsatError, match="Install onnxruntime-gpu"):  # tuned weights, which torch cannot load
        open_backend(exported, None, "cuda")
    monkeypatch.setattr(backends, "tuning_device", lambda device: "cpu")
    with pytest.raises(DeviceError, match="Install onnxruntime-gpu"):
        open_backend(exported, source, "cuda")
