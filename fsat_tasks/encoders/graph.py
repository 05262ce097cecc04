"""A transformer encoder as one graph, from token ids to the pooled features of every layer, in torch and as ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import onnx
import torch
from torch import Tensor, nn
from transformers import AutoModel

__all__ = ["PooledEncoder", "export_onnx"]

OPSET = 20


class PooledEncoder(nn.Module):  # type: ignore[misc]
    """A transformers model and its pooling.

    Args:
        folder: a model folder with safetensors weights.
        pooling: `mean` averages the tokens that the mask keeps; `cls` takes the first token.
        normalize: whether features are scaled to unit length.
    """

    def __init__(self, folder: Path, pooling: Literal["mean", "cls"], normalize: bool) -> None:
        super().__init__()
        with _quiet_transformers():
            self.body = AutoModel.from_pretrained(
                str(folder), use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=torch.float32
            ).eval()
        self.pooling = pooling
        self.normalize = normalize

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the pooled features of the embedding layer and every block. Those of the last block are the encoder's output.

        Args:
            input_ids: (batch, tokens) int64.
            attention_mask: (batch, tokens) int64, 1 for a token and 0 for padding.

        Returns:
            features of all layers (batch, layers, dim) and of the last layer (batch, dim), both float32.
        """
        hidden = self.body(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
        pooled = [self._pool(states, attention_mask) for states in hidden]  # layers of (batch, dim)
        return torch.stack(pooled, dim=1), pooled[-1]

    def _pool(self, states: Tensor, mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            pooled = states[:, 0]  # (batch, dim)
        else:
            weights = mask.unsqueeze(1).to(states.dtype)  # (batch, 1, tokens)
            # divided before the tokens are summed, because the sum could overflow in half precision
            weights = weights / weights.sum(2, keepdim=True).clamp(min=1.0)
            pooled = (weights @ states).squeeze(1)
        if not self.normalize:
            return pooled
        pooled = pooled / pooled.abs().amax(1, keepdim=True).clamp(min=1e-6)
        # a matrix product, because ONNX Runtime's sum over a batch of one row has a different order from that over a larger batch
        length = (pooled.unsqueeze(1) @ pooled.unsqueeze(2)).squeeze(2).clamp(min=1e-24).sqrt()  # (batch, 1)
        return pooled / length


def export_onnx(encoder: PooledEncoder, path: Path) -> None:
    """Write the encoder as ONNX with inputs `input_ids` and `attention_mask`, and outputs `features` and `sentence`.

    `features` (batch, layers, dim) has every layer. `sentence` (batch, dim) has only the last layer, for graphs that
    need only this layer. The file depends only on the weights and on the versions of torch and onnx, because stack
    traces and file names of this machine are removed.
    """
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    shapes = {"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}}
    example = torch.ones(2, 16, dtype=torch.int64)
    encoder.body.set_attn_implementation("eager")  # plain matrix products, which ONNX Runtime fuses itself
    with _quiet_transformers(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            encoder,
            (example, example.clone()),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            input_names=["input_ids", "attention_mask"],
            output_names=["features", "sentence"],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip_metadata(model)
    onnx.save(model, path)


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
def _quiet_transformers() -> Iterator[None]:
    """Silence the progress bars and export messages of transformers and torch."""
    from transformers.utils import logging as transformers_logging

    names = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
