"""An encoder as one graph, from prepared rows to the features of every layer, in torch and as ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import onnx
import torch
from torch import Tensor, nn

from fsat_tasks.encoders.apart_graph import keep_apart
from fsat_tasks.errors import EncoderError, FsatError
from fsat_tasks.runtime.failures import NamedErrors

__all__ = ["TorchEncoder", "export_onnx", "quiet_libraries"]

OPSET = 20


class TorchEncoder(nn.Module):  # type: ignore[misc]
    """An encoder in torch. Each kind of encoder has a subclass, whose attributes are set before the encoder is used."""

    axes: ClassVar[Mapping[str, tuple[str, ...]]]
    """Name of each input of `forward` -> the names of its first axes, whose lengths vary. The first of them is `batch`."""
    body: nn.Module
    """The model that is fine-tuned."""
    model_type: str = "unknown"
    """Type of the body, such as `bert`, for messages."""
    types_that_work: ClassVar[str] = "another one"
    """Types of bodies that are known to be exported well, in words."""
    layers: int
    dim: int
    normalize: bool
    """True if the features have unit length."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of all layers (batch, layers, dim) and of the last layer (batch, dim), both float32."""
        raise NotImplementedError

    def example(self) -> tuple[Tensor, ...]:
        """Return a small batch of inputs, in the order of `axes`."""
        raise NotImplementedError

    def unfuse(self) -> None:
        """Change the body for the export: into operators that ONNX Runtime fuses without rounding otherwise."""

    def untuned(self) -> list[nn.Parameter]:
        """Return the parameters that fine-tuning never changes."""
        return []


def export_onnx(encoder: TorchEncoder, path: Path, name: str) -> None:
    """Write the encoder as ONNX, with the inputs in `axes` and the outputs `features` and `sentence`.

    `features` (batch, layers, dim) has every layer. `sentence` (batch, dim) has only the last layer, for graphs that
    need only this layer. The file depends only on the weights and on the versions of torch and onnx, because stack
    traces and file names of this machine are removed.

    Args:
        name: name of the encoder, for errors.

    Raises:
        EncoderError: torch cannot run the body with the encoder's inputs, or cannot export it.
    """
    try:
        with NamedErrors("the export of the encoder"):
            model = _trace(encoder)
    except (FsatError, OSError):  # such as a full disk, which is no fault of the encoder
        raise
    except Exception as error:  # torch raises many types
        reason = error.__cause__ or error
        raise EncoderError(
            f"encoder {name!r}",
            f"a model of a type that torch exports to ONNX: {encoder.types_that_work}",
            f"one of type {encoder.model_type!r}",
            f"Choose another encoder. torch said: {type(reason).__name__}: {str(reason).strip().split(chr(10))[0]}",
        ) from error
    _strip_metadata(model)
    keep_apart(model.graph)
    onnx.save(model, path)


def _trace(encoder: TorchEncoder) -> onnx.ModelProto:
    """Return the encoder as torch exports it."""
    dims = {axis: torch.export.Dim(axis) for axes in encoder.axes.values() for axis in axes}
    shapes = {name: {at: dims[axis] for at, axis in enumerate(axes)} for name, axes in encoder.axes.items()}
    encoder.unfuse()  # ONNX Runtime fuses plain matrix products itself
    with contextlib.ExitStack() as stack:
        for quiet in (quiet_libraries(), warnings.catch_warnings(), torch.no_grad()):
            stack.enter_context(quiet)
        for redirect in (contextlib.redirect_stdout, contextlib.redirect_stderr):
            stack.enter_context(redirect(io.StringIO()))
        warnings.simplefilter("ignore")
        encoder(*encoder.example())  # fails in a moment where the export would fail after a minute
        program = torch.onnx.export(
            encoder,
            encoder.example(),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            input_names=list(encoder.axes),
            output_names=["features", "sentence"],
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _strip_metadata(model: onnx.ModelProto) -> None:
    """Remove stack traces and file names, which differ between machines."""
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.ClearField("metadata_props")
        graph.ClearField("doc_string")
        for node in graph.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
    for value in [*model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output]:
        value.ClearField("metadata_props")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the progress bars and export messages of transformers and torch."""
    from transformers.utils import logging as transformers_logging

    names = ("torch", "torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised too
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
