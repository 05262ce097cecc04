"""Backends that run an encoder: ONNX Runtime on the CPU or a GPU, or torch on a GPU that ONNX Runtime cannot use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from fsat_tasks.encoders.apart_graph import let_fuse
from fsat_tasks.encoders.kinds import KINDS
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

    from fsat_tasks.encoders.prepare import Feed
    from fsat_tasks.encoders.source import EncoderSource

__all__ = ["Backend", "Layers", "OnnxCpu", "OnnxCuda", "Torch", "open_backend"]

Layers = Literal["last", "all"]
OUTPUTS = {"last": "sentence", "all": "features"}


class Backend(Protocol):
    """An encoder that is loaded on a device."""

    batch_size: int
    """Maximum size of a batch of several rows, such as its number of tokens, padding included."""
    workers: int
    """Number of threads that should call `run` in parallel."""
    one_size: bool
    """True if all rows of a batch should have the same size. On a CPU, padding costs as much time as anything else."""

    def run(self, feed: Feed, layers: Layers) -> NDArray[np.float32]:
        """Compute the pooled features of a batch.

        Args:
            feed: the encoder's inputs.
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

    batch_size = 512
    one_size = True

    def __init__(self, encoder: Artefact) -> None:
        self.workers = available_cores()
        self._session = open_session(encoder.path / "encoder.onnx", "cpu", threads=1)

    def run(self, feed: Feed, layers: Layers) -> NDArray[np.float32]:
        with NamedErrors(_batch_name(feed)):
            features: NDArray[np.float32] = self._session.run([OUTPUTS[layers]], dict(feed))[0]
        return features


class OnnxCuda:
    """ONNX Runtime on a GPU, in half precision. Only prepared rows are copied to it, and only features back."""

    batch_size = 65_536
    workers = 1
    one_size = False

    def __init__(self, encoder: Artefact) -> None:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = onnx.load(encoder.path / "encoder.onnx")
        let_fuse(model.graph)
        half = convert_float_to_float16(model, keep_io_types=True)
        self._session = open_session(half.SerializeToString(), "cuda")
        self._normalize: bool = encoder.json("encoder.json")["normalize"]

    def run(self, feed: Feed, layers: Layers) -> NDArray[np.float32]:
        with NamedErrors(_batch_name(feed)):
            binding = self._session.io_binding()
            for name, values in feed.items():
                binding.bind_cpu_input(name, values)
            binding.bind_output(OUTPUTS[layers], "cpu")
            self._session.run_with_iobinding(binding)
            features: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
        return _unit(features) if self._normalize else features


class Torch:
    """torch with fused attention, in bfloat16 if the GPU has it. Prepared rows are copied from pinned memory."""

    batch_size = 65_536
    workers = 1
    one_size = False

    def __init__(self, source: EncoderSource, device: Literal["cpu", "cuda"]) -> None:
        import torch

        self._torch, self._device = torch, device
        self._body = KINDS[source.inputs].load(source).to(device)
        self._type = getattr(torch, {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[half_name(device)])

    def run(self, feed: Feed, layers: Layers) -> NDArray[np.float32]:
        torch = self._torch
        precision = torch.autocast(self._device, self._type, enabled=self._type != torch.float32)
        with NamedErrors(_batch_name(feed)), torch.inference_mode(), precision:
            every, last = self._body(**{name: self._move(values) for name, values in feed.items()})
            features: NDArray[np.float32] = (every if layers == "all" else last).float().cpu().numpy()
        return _unit(features) if self._body.normalize else features

    def _move(self, values: NDArray[Any]) -> Any:
        tensor = self._torch.from_numpy(values)
        return tensor.pin_memory().to("cuda", non_blocking=True) if self._device == "cuda" else tensor


def _batch_name(feed: Feed) -> str:
    return "a batch of " + " and ".join(f"{values.shape} {name}" for name, values in feed.items())


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale features to unit length in float32, because in half precision their length is wrong by up to half a per cent."""
    import numpy as np

    unit: NDArray[np.float32] = features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), np.float32(1e-12))
    return unit
