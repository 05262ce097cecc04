"""Backends that run an encoder: ONNX Runtime on the CPU or a GPU, or torch on a GPU that ONNX Runtime cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from fsat_tasks.errors import DeviceError
from fsat_tasks.runtime.device import tuning_device
from fsat_tasks.runtime.failures import NamedErrors
from fsat_tasks.runtime.machine import available_cores
from fsat_tasks.runtime.numeric_class import half_name
from fsat_tasks.runtime.session import onnxruntime_runs_on_cuda, open_session
from fsat_tasks.store import Artefact

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fsat_tasks.encoders.source import EncoderSource

__all__ = ["Backend", "Layers", "OnnxCpu", "OnnxCuda", "Torch", "open_backend"]

Layers = Literal["last", "all"]
OUTPUTS = {"last": "sentence", "all": "features"}


class Backend(Protocol):
    """An encoder that is loaded on a device."""

    tokens: int
    """Maximum number of tokens in a batch of several rows, padding included."""
    workers: int
    """Number of threads that should call `run` in parallel."""
    one_length: bool
    """True if all rows of a batch should have the same length. On a CPU, a padding token costs as much time as a word."""

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        """Compute the pooled features of a batch.

        Args:
            ids: (batch, tokens) token ids.
            mask: (batch, tokens), 1 where there is a token and 0 where there is padding.
            layers: `last` returns (batch, dim), `all` returns (batch, layers, dim).

        Raises:
            OutOfMemoryError: the batch does not fit into memory.
            DeviceError: the GPU no longer answers.
        """


def open_backend(encoder: Artefact, source: EncoderSource | None, device: Literal["cpu", "cuda"]) -> Backend:
    """Open the backend for this device. It computes in the device's numeric class (`fsat_tasks.runtime.numeric_class`).

    Args:
        encoder: an artefact of `export_encoder`, or of a step that writes the same files.
        source: the pretrained model's folder, which torch reads. None if `encoder` holds fine-tuned weights.

    Raises:
        DeviceError: ONNX Runtime cannot use the GPU, and torch cannot use it either or has no `source` to read.
    """
    with NamedErrors("the encoder"):
        return _open(encoder, source, device)


def _open(encoder: Artefact, source: EncoderSource | None, device: Literal["cpu", "cuda"]) -> Backend:
    if device == "cpu":
        return OnnxCpu(encoder)
    if onnxruntime_runs_on_cuda():
        return OnnxCuda(encoder)
    if source is None or tuning_device("cuda") == "cpu":
        raise DeviceError(
            "device cuda",
            "an ONNX Runtime that can use the GPU",
            "one that cannot",
            "Install onnxruntime-gpu with CUDA and cuDNN, or use device cpu.",
        )
    return Torch(source, "cuda")


class OnnxCpu:
    """ONNX Runtime on the CPU, with as many runs at once as there are cores, each with one thread.

    Two runs on one core each are faster than one run on two cores. Their results do not depend on the number of
    cores. Batches are small enough for the processor's cache: batches of 512 tokens are a third faster than batches of 4096.
    """

    tokens = 512
    one_length = True

    def __init__(self, encoder: Artefact) -> None:
        self.workers = available_cores()
        self._session = open_session(encoder.path / "encoder.onnx", "cpu", threads=1)

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        with NamedErrors(f"a batch of {ids.shape} tokens"):
            features: NDArray[np.float32] = self._session.run([OUTPUTS[layers]], {"input_ids": ids, "attention_mask": mask})[0]
        return features


class OnnxCuda:
    """ONNX Runtime on a GPU, in half precision. Only token ids and masks are copied to it, and only features back."""

    tokens = 65_536
    workers = 1
    one_length = False

    def __init__(self, encoder: Artefact) -> None:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        half = convert_float_to_float16(onnx.load(encoder.path / "encoder.onnx"), keep_io_types=True)
        self._session = open_session(half.SerializeToString(), "cuda")
        self._normalize: bool = encoder.json("encoder.json")["normalize"]

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        with NamedErrors(f"a batch of {ids.shape} tokens"):
            binding = self._session.io_binding()
            binding.bind_cpu_input("input_ids", ids)
            binding.bind_cpu_input("attention_mask", mask)
            binding.bind_output(OUTPUTS[layers], "cpu")
            self._session.run_with_iobinding(binding)
            features: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
        return _unit(features) if self._normalize else features


class Torch:
    """torch with fused attention, in bfloat16 if the GPU has it. Token ids are copied from pinned memory."""

    tokens = 65_536
    workers = 1
    one_length = False

    def __init__(self, source: EncoderSource, device: Literal["cpu", "cuda"]) -> None:
        import torch

        from fsat_tasks.encoders.graph import PooledEncoder

        self._torch, self._device = torch, device
        self._body = PooledEncoder(source.folder, source.pooling, source.normalize).to(device)
        self._type = getattr(torch, {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[half_name(device)])

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64], layers: Layers) -> NDArray[np.float32]:
        torch = self._torch
        precision = torch.autocast(self._device, self._type, enabled=self._type != torch.float32)
        with NamedErrors(f"a batch of {ids.shape} tokens"), torch.inference_mode(), precision:
            every, last = self._body(self._move(ids), self._move(mask))
            features: NDArray[np.float32] = (every if layers == "all" else last).float().cpu().numpy()
        return _unit(features) if self._body.normalize else features

    def _move(self, values: NDArray[np.int64]) -> Any:
        tensor = self._torch.from_numpy(values)
        return tensor.pin_memory().to("cuda", non_blocking=True) if self._device == "cuda" else tensor


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale features to unit length in float32, because in half precision their length is wrong by up to half a per cent."""
    import numpy as np

    unit: NDArray[np.float32] = features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), np.float32(1e-12))
    return unit
