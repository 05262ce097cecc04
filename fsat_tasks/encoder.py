"""Run a pretrained text encoder: exported once to ONNX, on what the machine has."""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.encoder_source import EncoderSource, find_encoder
from fsat_tasks.errors import DeviceError, EncoderError, OutOfMemoryError
from fsat_tasks.store import Artefact, Recipe, Store, write_json
from fsat_tasks.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Encoder",
    "export_encoder",
    "exporter_versions",
    "load_encoder",
    "load_tokenizer",
    "open_session",
    "pick_device",
    "token_batches",
    "tokenize",
]

log = logging.getLogger(__name__)

EXPORTER = ("onnx", "onnxscript", "tokenizers", "torch", "transformers")
"""Packages whose version may change the exported graph."""

TOKENS_PER_BATCH = 4096
"""Padded tokens of one batch: enough to fill the cores, little enough to stay in the cache."""

Progress = Callable[[int], None]
"""Called with the number of rows done so far."""


def pick_device(device: str) -> Literal["cpu", "cuda"]:
    """The device to run on: `auto` takes a GPU that ONNX Runtime can use, else the CPU.

    Raises:
        DeviceError: where `cuda` is asked for and no GPU answers.
    """
    found = _cuda_devices() > 0
    if device == "cuda" and not found:
        raise DeviceError("device", "an NVIDIA GPU with its driver", "none on this machine", "Use device auto or cpu.")
    if device == "auto" and found and not _onnxruntime_runs_on_cuda():
        log.warning("there is a GPU, but ONNX Runtime cannot use it (CUDA or cuDNN libraries missing?); using the CPU")
        return "cpu"
    return "cuda" if found and device != "cpu" else "cpu"


@functools.cache
def _onnxruntime_runs_on_cuda() -> bool:
    """Only a session tells: the list of available providers has CUDA even where its libraries are missing."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    ort.set_default_logger_severity(4)  # what is missing is said in our own words
    ort.preload_dlls()
    session = ort.InferenceSession(model.SerializeToString(), providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    return "CUDAExecutionProvider" in session.get_providers()


def _cuda_devices() -> int:
    # asked of the driver, since importing torch for it would cost seconds in every run
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def exporter_versions() -> dict[str, str]:
    """Of the packages that the exported graph depends on."""
    return {name: version(name) for name in EXPORTER}


def export_encoder(source: EncoderSource, store: Store) -> Artefact:
    """The encoder as ONNX with its tokenizer, made once per revision: encoder.onnx, tokenizer.json, encoder.json."""
    recipe = Recipe("encoder", 2, exporter_versions(), {"encoder": source.revision})

    def write(folder: Path) -> None:
        from fsat_tasks.encoder_graph import PooledEncoder, export_onnx

        try:
            body = PooledEncoder(source.folder, source.pooling, source.normalize)
        except Exception as error:  # whatever transformers makes of a damaged folder
            raise EncoderError(f"encoder {source.name!r}", f"a model that transformers can load from {source.folder}",
                               f"{type(error).__name__}: {error}") from error  # fmt: skip
        export_onnx(body, folder / "encoder.onnx")
        _save_tokenizer(source, folder / "tokenizer.json")
        write_json(folder / "encoder.json", {
            "revision": source.revision, "pooling": source.pooling, "normalize": source.normalize,
            "max_tokens": source.max_tokens, "dim": body.body.config.hidden_size,
            "layers": body.body.config.num_hidden_layers + 1,
        })  # fmt: skip

    return store.build(recipe, write)


def _save_tokenizer(source: EncoderSource, path: Path) -> None:
    """The fast tokenizer alone, with padding and truncation set as the graph wants them."""
    from transformers import AutoTokenizer

    wrapper = AutoTokenizer.from_pretrained(str(source.folder), trust_remote_code=False, local_files_only=True)
    pad = wrapper.pad_token or wrapper.eos_token or wrapper.unk_token
    if pad is None:
        raise EncoderError(f"encoder {source.name!r}", "a tokenizer with a pad, end or unknown token", "none of them")
    tokenizer = wrapper.backend_tokenizer
    tokenizer.enable_truncation(source.max_tokens)
    tokenizer.enable_padding(pad_id=wrapper.convert_tokens_to_ids(pad), pad_token=pad)
    tokenizer.save(str(path))


class Encoder:
    """An exported encoder in an ONNX Runtime session."""

    def __init__(self, artefact: Artefact, device: Literal["cpu", "cuda"]) -> None:
        config = artefact.json("encoder.json")
        self.revision: str = config["revision"]
        self.dim: int = config["dim"]
        self.layers: int = config["layers"]
        self._tokenizer, self._pad_id = load_tokenizer(artefact.path / "tokenizer.json")
        self._session = open_session(artefact.path / "encoder.onnx", device)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at the encoder's number of tokens, unpadded."""
        return tokenize(self._tokenizer, texts)

    def encode(
        self, texts: Sequence[str], layers: Literal["last", "all"] = "last", progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Pooled features, normalised if the encoder's own config says so.

        Args:
            texts: any strings; longer ones are cut at the encoder's number of tokens.
            layers: `last` gives (n, dim), `all` gives (n, layers, dim) from the embeddings to the last block.

        Raises:
            OutOfMemoryError: where not even one batch fits.
        """
        import numpy as np

        output, shape = ("features", (self.layers, self.dim)) if layers == "all" else ("sentence", (self.dim,))
        features = np.empty((len(texts), *shape), np.float32)
        done = 0
        for rows, ids, mask in token_batches(self._tokenizer, self._pad_id, texts):
            features[rows] = _run(self._session, output, ids, mask)
            done += len(rows)
            if progress is not None:
                progress(done)
        return features


def load_encoder(name_or_path: str | Path, device: str = "auto", max_tokens: int | None = None) -> Encoder:
    """An encoder ready to run; exported to the store the first time.

    Raises:
        EncoderError: where there is no such encoder on this machine.
        DeviceError: where `device` is not there.
    """
    path = Path(name_or_path)
    source = find_encoder(path if path.is_dir() else str(name_or_path), max_tokens)
    return Encoder(export_encoder(source, Store(Workspace.from_env().store)), pick_device(device))


def open_session(path: Path, device: Literal["cpu", "cuda"]) -> Any:
    """An ONNX Runtime session on exactly the device asked for. Raises DeviceError where ONNX Runtime falls back."""
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if device == "cpu":
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ort.preload_dlls()  # CUDA and cuDNN as torch's packages bring them
    session = ort.InferenceSession(path, options, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        raise DeviceError("device cuda", "an ONNX Runtime that can use the GPU", "one that cannot",
                          "Install onnxruntime-gpu with CUDA and cuDNN, or use device cpu.")  # fmt: skip
    return session


def load_tokenizer(path: Path) -> tuple[Any, int]:
    """A tokenizer that leaves rows unpadded, since they are padded once their batch is known; and the pad id."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    padding = tokenizer.padding
    assert padding is not None, "export_encoder sets it"
    tokenizer.no_padding()
    return tokenizer, padding["pad_id"]


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, unpadded."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def token_batches(
    tokenizer: Any, pad_id: int, texts: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Row numbers, token ids and mask of batches of about equal cost: longest rows first, little padding."""
    import numpy as np

    encodings = tokenize(tokenizer, texts)
    lengths = np.array([len(ids) for ids in encodings], np.int64)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        rows = order[start : start + max(TOKENS_PER_BATCH // longest, 1)]
        ids = np.full((len(rows), longest), pad_id, np.int64)
        mask = np.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : lengths[row]] = encodings[row]
            mask[at, : lengths[row]] = 1
        yield rows, ids, mask
        start += len(rows)


def _run(session: Any, output: str, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    try:
        features: NDArray[np.float32] = session.run([output], {"input_ids": ids, "attention_mask": mask})[0]
    except RuntimeException as error:
        if "alloc" in str(error).lower():
            raise OutOfMemoryError(f"ONNX Runtime could not allocate memory for {ids.shape} tokens: {error}") from error
        raise
    return features
