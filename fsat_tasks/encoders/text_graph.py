"""A transformer as one graph, from token ids to the pooled features of every layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import AutoModel

from fsat_tasks.encoders.graph import TorchEncoder, quiet_libraries

__all__ = ["PooledEncoder"]


class PooledEncoder(TorchEncoder):
    """A transformers model and its pooling.

    Args:
        folder: a model folder with safetensors weights.
        pooling: `mean` averages the tokens that the mask keeps; `cls` takes the first token.
        normalize: whether features are scaled to unit length.
    """

    types_that_work = "BERT, RoBERTa, XLM-R, ELECTRA, DeBERTa, DistilBERT, MPNet, ALBERT or ModernBERT"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"input_ids": ("batch", "tokens"), "attention_mask": ("batch", "tokens")}

    def __init__(self, folder: Path, pooling: Literal["mean", "cls"], normalize: bool) -> None:
        super().__init__()
        with quiet_libraries():
            self.body = AutoModel.from_pretrained(
                str(folder), use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype=torch.float32
            ).eval()
        self.pooling = pooling
        self.normalize = normalize
        self.model_type = self.body.config.model_type
        self.layers, self.dim = self.body.config.num_hidden_layers + 1, self.body.config.hidden_size

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

    def example(self) -> tuple[Tensor, Tensor]:
        """Return ids and mask of two texts of 16 tokens."""
        ids = torch.ones(2, 16, dtype=torch.int64)
        return ids, ids.clone()

    def unfuse(self) -> None:
        """Compute attention by plain matrix products, and by one ONNX operator each what transformers computes in steps."""
        self.body.set_attn_implementation("eager")
        for name, module in list(self.body.named_modules()):
            if (single := _single_operator(module)) is not None:
                self.body.set_submodule(name, single)

    def untuned(self) -> list[nn.Parameter]:
        """Return the embeddings, because samples contain few of the tokens, and a pooler, because it is not used."""
        pooler = getattr(self.body, "pooler", None)
        return [*self.body.get_input_embeddings().parameters(), *(pooler.parameters() if pooler is not None else [])]

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


def _single_operator(module: nn.Module) -> nn.Module | None:
    """Return the torch module that computes the same, if transformers has written out the steps of a module.

    ONNX Runtime would replace the steps by one operator, but not under all of its options, and the operator rounds otherwise.
    """
    kind = type(module).__name__
    if kind == "NewGELUActivation":
        return nn.GELU("tanh")
    if kind == "DebertaLayerNorm":
        norm = nn.LayerNorm(len(module.weight), module.variance_epsilon)
        norm.weight, norm.bias = module.weight, module.bias
        return norm
    return None
