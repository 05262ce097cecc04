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

from fsat_tasks.encoders.graph import TorchEncoder
from fsat_tasks.encoders.kinds import KINDS
from fsat_tasks.encoders.prepare import Prepared, collate
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.runtime.machine import has_bfloat16
from fsat_tasks.tuning.jobs import FineTuningSettings, TrainingRows

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

STEP_SIZE = 1024
"""Maximum size of a training batch, padding included. Such a batch fits the cache, and an epoch has more steps than with
larger batches."""
BATCH_SIZE = {"cpu": 1024, "cuda": 32768}
"""Device -> maximum size of a batch that is only encoded. On the CPU such a batch fits a core's cache, so encoding is three
times as fast as with batches of eight times this size."""
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises. In the remaining steps the rate falls to zero."""
GRADIENT_NORM = 1.0
CLASS_LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
RANK = 16
"""Rank of a low-rank adapter (Hu et al. 2022)."""
BLOCK = 32
"""Size of the blocks of an orthogonal adapter (Qiu et al. 2023)."""


def load_torch_encoder(source: EncoderSource, device: str, weights: Mapping[str, Tensor] | None = None) -> TorchEncoder:
    """Load the encoder in torch on a device. If tuned weights are given, they replace the pretrained ones."""
    encoder = KINDS[source.inputs].load(source)
    if weights:
        unknown = encoder.load_state_dict(dict(weights), strict=False).unexpected_keys
        assert not unknown, f"weights of another encoder: {unknown[:3]}"
    if device == "cpu":  # fused attention kernels are slow for short rows, above all in the backward pass
        encoder.unfuse()
    encoder.to(device)
    return encoder


def fine_tune(
    encoder: TorchEncoder,
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
    sizes = np.array([row.size for row in training.rows])
    plan = [batch for _ in range(settings.epochs) for batch in _batches(sizes, settings.rows_per_step, rng)]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, len(plan)))
    encoder.train()
    done = 0
    for batch in plan:
        feed = _tensors([training.rows[i] for i in batch], device)
        with _mixed_precision(device):
            features = encoder(**feed)[1]  # (batch, dim)
        unit = functional.normalize(features.float(), dim=-1)
        wanted = torch.from_numpy(training.targets[batch]).to(device)  # (batch, classes)
        cosines = unit @ functional.normalize(classes, dim=-1).T  # (batch, classes)
        loss = functional.cross_entropy(cosines / settings.temperature, wanted)
        loss = loss + settings.contrastive * _contrastive(unit, _alike(wanted), settings.temperature)
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
    encoder: TorchEncoder, rows: Sequence[Prepared], exact: bool = True, batch_size: int | None = None
) -> NDArray[np.float32]:
    """Encode rows and return features of every layer, (n, layers, dim).

    Args:
        encoder: the encoder, on its device.
        rows: n rows.
        exact: True for float32; False for the mixed precision that training uses. Mixed precision is faster, but
            only three digits are exact.
        batch_size: maximum size of a batch, padding included; by default that of BATCH_SIZE.
    """
    device = next(encoder.parameters()).device
    most = BATCH_SIZE[device.type] if batch_size is None else batch_size
    sizes = np.array([row.size for row in rows], np.int64)
    order = np.argsort(-sizes, kind="stable")
    features = np.empty((len(rows), encoder.layers, encoder.dim), np.float32)
    start = 0
    with torch.inference_mode(), contextlib.nullcontext() if exact else _mixed_precision(device):
        while start < len(order):
            at = order[start : start + max(most // max(int(sizes[order[start]]), 1), 1)]
            features[at] = encoder(**_tensors([rows[i] for i in at], device))[0].float().cpu().numpy()
            start += len(at)
    return features


def tuned_weights(encoder: TorchEncoder) -> Weights:
    """Return copies of the weights that fine-tuning may change, on the CPU."""
    frozen = {id(parameter) for parameter in encoder.untuned()}
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


def _with_adapters(encoder: TorchEncoder, method: str) -> Any:
    """Return the model to train: `encoder.body`. If the method is not `full`, all its linear layers get adapters."""
    encoder.requires_grad_(method == "full")
    if method == "full":
        for parameter in encoder.untuned():
            parameter.requires_grad_(False)
        return encoder.body
    import peft

    untuned = {id(parameter) for parameter in encoder.untuned()}
    linear = ((name, module) for name, module in encoder.body.named_modules() if isinstance(module, nn.Linear))
    targets = [name for name, module in linear if id(module.weight) not in untuned]
    config = (
        peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets)
        if method == "lora"
        else peft.OFTConfig(r=0, oft_block_size=BLOCK, use_cayley_neumann=False, target_modules=targets)
    )
    encoder.body = peft.get_peft_model(encoder.body, config)
    return encoder.body


def _batches(sizes: NDArray[np.int64], most_rows: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Split all rows into batches of rows of similar size, to avoid padding. The batches are in random order."""
    order = np.argsort(sizes + rng.uniform(-2, 2, len(sizes)), kind="stable")
    batches, start = [], 0
    while start < len(order):
        end, longest = start + 1, sizes[order[start]]
        while end < len(order) and end - start < most_rows:
            longest = max(longest, sizes[order[end]])
            if longest * (end - start + 1) > STEP_SIZE:
                break
            end += 1
        batches.append(order[start:end])
        start = end
    return [batches[i] for i in rng.permutation(len(batches))]


def _rate(step: int, steps: int) -> float:
    """Return the factor for the learning rate. This factor rises linearly to 1 in the warm-up, then falls linearly to zero."""
    return min((step + 1) / max(WARM_UP * steps, 1.0), 1.0) * max(1.0 - step / steps, 0.0)


def _alike(targets: Tensor) -> Tensor:
    """Return which rows share a label, (batch, batch). A row's labels are the classes with its highest target."""
    labels = (targets == targets.max(1, keepdim=True).values).to(targets.dtype)  # (batch, classes)
    return labels @ labels.T > 0.0


def _contrastive(unit: Tensor, same: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss of unit rows (batch, dim); 0 if no two rows share a label.

    Args:
        unit: (batch, dim).
        same: (batch, batch), whether two rows share a label.
        temperature: temperature of the cosines.
    """
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    positives = same & ~itself
    count = positives.sum(1)
    log_share = (unit @ unit.T / temperature).masked_fill(itself, -torch.inf).log_softmax(1)
    mean = log_share.masked_fill(~positives, 0.0).sum(1) / count.clamp(min=1)
    return -mean.sum() / (count > 0).sum().clamp(min=1)


def _tensors(rows: Sequence[Prepared], device: torch.device) -> dict[str, Tensor]:
    """Return the inputs of the encoder for a batch of rows."""
    return {name: torch.from_numpy(values).to(device) for name, values in collate(rows).items()}


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
