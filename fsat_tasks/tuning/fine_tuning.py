"""Fine-tuning of an encoder in torch. Either all weights are tuned, or adapters are tuned and then merged into the weights.

An adapter is a low-rank or an orthogonal change of a linear layer's weights.

The loss of a batch has two parts. One is the cross-entropy of the cosines to one learnt vector per class. The other is the
supervised contrastive loss (Khosla et al. 2020, eq. 2) between the rows of the batch. The time of an epoch is linear in the
number of rows, because no list of pairs is made. Targets may be soft, so unlabelled rows can be used with a
teacher's soft labels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fsat_tasks.encoders.graph import PooledEncoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.runtime.machine import has_bfloat16
from fsat_tasks.tuning.jobs import FineTuningSettings, TokenRows, TrainingRows

__all__ = [
    "Weights",
    "average_weights",
    "encode_rows",
    "fine_tune",
    "load_torch_encoder",
    "one_thread_each",
    "tuned_weights",
    "weights_between",
]

Weights = dict[str, Tensor]

TOKENS_PER_STEP = 1024
"""Maximum number of padded tokens in a training batch. Such a batch fits the cache, and an epoch has more steps than with
larger batches."""
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 32768}
"""Device -> maximum number of padded tokens in a batch that is only encoded. On the CPU such a batch fits a core's cache, so
encoding is three times as fast as with batches of eight times as many tokens."""
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises. In the remaining steps the rate falls to zero."""
GRADIENT_NORM = 1.0
CLASS_LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
RANK = 16
"""Rank of a low-rank adapter (Hu et al. 2022)."""
BLOCK = 32
"""Size of the blocks of an orthogonal adapter (Qiu et al. 2023)."""


def load_torch_encoder(source: EncoderSource, device: str, weights: Mapping[str, Tensor] | None = None) -> PooledEncoder:
    """Load the encoder in torch on a device. If tuned weights are given, they replace the pretrained ones."""
    encoder = PooledEncoder(source.folder, source.pooling, source.normalize)
    if weights:
        unknown = encoder.load_state_dict(dict(weights), strict=False).unexpected_keys
        assert not unknown, f"weights of another encoder: {unknown[:3]}"
    if device == "cpu":  # fused attention kernels are slow for short rows, above all in the backward pass
        encoder.body.set_attn_implementation("eager")
    encoder.to(device)
    return encoder


def fine_tune(
    encoder: PooledEncoder,
    training: TrainingRows,
    settings: FineTuningSettings,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> float:
    """Fine-tune the encoder in place. Adapters are merged into it.

    Args:
        encoder: the encoder, on the device to tune on.
        training: n rows with their targets.
        settings: settings of the tuning.
        seed: seed of dropout, batches and adapters.
        progress: function that is called with the number of rows done so far, of n * epochs in all.

    Returns:
        The orthogonality error: the largest entry of |R.T R - I| over the learnt rotations R; 0 for other methods.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    device = next(encoder.parameters()).device
    trained = _with_adapters(encoder, settings.method)
    parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    classes = nn.Parameter(torch.tensor(training.class_vectors, device=device))  # a copy, which the optimizer changes
    optimizer = torch.optim.AdamW(
        [
            {"params": parameters, "lr": settings.learning_rate, "weight_decay": WEIGHT_DECAY},
            {"params": [classes], "lr": CLASS_LEARNING_RATE, "weight_decay": 0.0},
        ],
        fused=True,
    )
    lengths = np.array([len(row) for row in training.tokens])
    plan = [batch for _ in range(settings.epochs) for batch in _batches(lengths, settings.rows_per_step, rng)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, len(plan)))
    encoder.train()
    done = 0
    for batch in plan:
        ids, mask = _pad([training.tokens[i] for i in batch], device)
        with _mixed_precision(device):
            features = encoder(ids, mask)[1]  # (batch, dim)
        unit = functional.normalize(features.float(), dim=-1)
        wanted = torch.from_numpy(training.targets[batch]).to(device)  # (batch, classes)
        cosines = unit @ functional.normalize(classes, dim=-1).T  # (batch, classes)
        loss = functional.cross_entropy(cosines / settings.temperature, wanted)
        loss = loss + settings.contrastive * _contrastive(unit, wanted.argmax(1), settings.temperature)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        done += len(batch)
        if progress is not None:
            progress(done)
    encoder.eval()
    error = _orthogonality_error(trained) if settings.method == "oft" else 0.0
    if settings.method != "full":
        encoder.body = trained.merge_and_unload()
    return error


def encode_rows(
    encoder: PooledEncoder, rows: TokenRows, exact: bool = True, tokens_per_batch: int | None = None
) -> NDArray[np.float32]:
    """Encode rows and return features of every layer, (n, layers, dim).

    Args:
        encoder: the encoder, on its device.
        rows: n rows of token ids.
        exact: True for float32; False for the mixed precision that training uses. Mixed precision is faster, but
            only three digits are exact.
        tokens_per_batch: maximum number of padded tokens in a batch; by default that of TOKENS_PER_BATCH.
    """
    device, config = next(encoder.parameters()).device, encoder.body.config
    most = TOKENS_PER_BATCH[device.type] if tokens_per_batch is None else tokens_per_batch
    lengths = np.array([len(row) for row in rows], np.int64)
    order = np.argsort(-lengths, kind="stable")
    features = np.empty((len(rows), config.num_hidden_layers + 1, config.hidden_size), np.float32)
    start = 0
    with torch.inference_mode(), contextlib.nullcontext() if exact else _mixed_precision(device):
        while start < len(order):
            at = order[start : start + max(most // max(int(lengths[order[start]]), 1), 1)]
            features[at] = encoder(*_pad([rows[i] for i in at], device))[0].float().cpu().numpy()
            start += len(at)
    return features


def tuned_weights(encoder: PooledEncoder) -> Weights:
    """Return copies of the weights that fine-tuning may change, on the CPU."""
    frozen = {id(parameter) for parameter in _kept(encoder)}
    return {
        name: parameter.detach().cpu().contiguous().clone()
        for name, parameter in encoder.named_parameters()
        if id(parameter) not in frozen
    }


def average_weights(encoders: Sequence[Weights]) -> Weights:
    """Return the mean of encoders tuned from the same weights. It is as good as one tuned on all rows (Wortsman et al. 2022)."""
    return {name: torch.stack([weights[name] for weights in encoders]).mean(0) for name in encoders[0]}


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Make torch use one thread for each encoder while encoders run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def weights_between(pretrained: Weights, tuned: Weights, distance: float) -> Weights:
    """Interpolate linearly between the pretrained weights (distance 0) and the tuned ones (distance 1)."""
    return {name: torch.lerp(pretrained[name], weight, distance) for name, weight in tuned.items()}


def _kept(encoder: PooledEncoder) -> list[nn.Parameter]:
    """Return the parameters that are never tuned.

    The embeddings are not tuned because the shots contain few of the tokens, and a pooler because it is not used.
    """
    pooler = getattr(encoder.body, "pooler", None)
    return [*encoder.body.get_input_embeddings().parameters(), *(pooler.parameters() if pooler is not None else [])]


def _with_adapters(encoder: PooledEncoder, method: str) -> Any:
    """Return the model to train: `encoder.body`. If the method is not `full`, all its linear layers get adapters."""
    encoder.requires_grad_(method == "full")
    if method == "full":
        for parameter in _kept(encoder):
            parameter.requires_grad_(False)
        return encoder.body
    import peft

    targets = [name for name, module in encoder.body.named_modules() if isinstance(module, nn.Linear) and "pooler" not in name]
    config = (
        peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets)
        if method == "lora"
        else peft.OFTConfig(r=0, oft_block_size=BLOCK, use_cayley_neumann=False, target_modules=targets)
    )
    encoder.body = peft.get_peft_model(encoder.body, config)
    return encoder.body


def _batches(lengths: NDArray[np.int64], most_rows: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Split all rows into batches of rows of similar length, to avoid padding. The batches are in random order."""
    order = np.argsort(lengths + rng.uniform(-2, 2, len(lengths)), kind="stable")
    batches, start = [], 0
    while start < len(order):
        end, longest = start + 1, lengths[order[start]]
        while end < len(order) and end - start < most_rows:
            longest = max(longest, lengths[order[end]])
            if longest * (end - start + 1) > TOKENS_PER_STEP:
                break
            end += 1
        batches.append(order[start:end])
        start = end
    return [batches[i] for i in rng.permutation(len(batches))]


def _rate(step: int, steps: int) -> float:
    """Return the factor for the learning rate. This factor rises linearly to 1 in the warm-up, then falls linearly to zero."""
    return min((step + 1) / max(WARM_UP * steps, 1.0), 1.0) * max(1.0 - step / steps, 0.0)


def _contrastive(unit: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss of unit rows (batch, dim); 0 if no label occurs twice."""
    same = labels[:, None] == labels[None, :]  # (batch, batch)
    itself = torch.eye(len(labels), dtype=torch.bool, device=unit.device)
    positives = same & ~itself
    count = positives.sum(1)
    log_share = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf).log_softmax(1)
    mean = log_share.masked_fill(~positives, 0.0).sum(1) / count.clamp(min=1)
    return -mean.sum() / (count > 0).sum().clamp(min=1)


def _pad(rows: TokenRows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids and mask, (rows, longest). Any token id can pad, because the mask hides it."""
    ids = torch.zeros(len(rows), max(*map(len, rows), 1), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.as_tensor(row)
        mask[at, : len(row)] = 1
    return ids.to(device), mask.to(device)


def _mixed_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return a context for mixed precision (bfloat16). On a CPU without instructions for it, the context changes nothing."""
    precision: contextlib.AbstractContextManager[Any] = torch.autocast(
        device.type, torch.bfloat16, enabled=device.type == "cuda" or has_bfloat16()
    )
    return precision


def _orthogonality_error(model: nn.Module) -> float:
    errors = [0.0]
    for rotation in _rotations(model):
        identity = torch.eye(rotation.shape[-1], device=rotation.device)
        errors.append(float((rotation.mT @ rotation - identity).abs().max()))
    return max(errors)


def _rotations(model: nn.Module) -> Iterator[Tensor]:
    """Yield the rotation blocks of every orthogonal adapter, (blocks, size, size), with the values that are merged."""
    for module in model.modules():
        if module.__class__.__name__ == "OFTRotationModule":
            yield module.get_weight().detach()
