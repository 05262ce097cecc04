"""Full fine-tuning: all weights of the encoder and a linear head are trained with cross-entropy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import SplitRows
from benchmarks.outcome import Context, Outcome

__all__ = ["full_fine_tuning"]

# 20 epochs with warm-up and the bias-corrected AdamW is the strong baseline of Mosbach et al. (2021)
EPOCHS = 20
LEAST_STEPS = 200  # minimum, because 20 epochs of a few rows are only a few steps
BATCH = 16
WARM_UP = 0.1  # share of the steps in which the rate grows; after them, the rate falls linearly to zero
BODY_RATE = 1e-4
HEAD_RATE = 1e-3  # higher than the encoder's rate, because the head starts at zero and the encoder is pretrained
WEIGHT_DECAY = 0.01
CLIP = 1.0


def full_fine_tuning(rows: SplitRows, context: Context) -> Outcome:
    """Fine-tune encoder and head on the shots. The training seconds do not include the loading of the encoder."""
    import torch

    torch.manual_seed(context.seed)
    model, tokenizer = _load(context, len(rows.classes))
    started = time.perf_counter()
    steps = _train(model, tokenizer, rows, context.seed)
    seconds = time.perf_counter() - started
    probabilities = _probabilities(model, tokenizer, rows.query)
    outside = _probabilities(model, tokenizer, rows.out_of_scope).max(axis=1) if rows.out_of_scope else np.empty(0)
    details = {"steps": steps, "batch": BATCH, "body_rate": BODY_RATE, "head_rate": HEAD_RATE}
    return Outcome(probabilities, probabilities.max(axis=1), outside, seconds, None, details=details)


def _load(context: Context, classes: int) -> tuple[Any, Any]:
    from torch import nn
    from transformers import AutoTokenizer

    from fsat_tasks.encoders.text_graph import PooledEncoder

    class Classifier(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = PooledEncoder(context.source.folder, context.source.settings["pooling"], normalize=False)
            self.head = nn.Linear(self.encoder.body.config.hidden_size, classes)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.head(self.encoder(input_ids, attention_mask)[1])  # (batch, classes)

    tokenizer = AutoTokenizer.from_pretrained(str(context.source.folder), local_files_only=True)
    tokenizer.model_max_length = context.source.settings["max_tokens"]
    return Classifier(), tokenizer


def _train(model: Any, tokenizer: Any, rows: SplitRows, seed: int) -> int:
    import torch
    from torch.nn.functional import cross_entropy

    labels = torch.from_numpy(rows.labels)
    rates = [(model.encoder, BODY_RATE), (model.head, HEAD_RATE)]
    optimizer = torch.optim.AdamW([{"params": part.parameters(), "lr": rate} for part, rate in rates], weight_decay=WEIGHT_DECAY)
    steps_an_epoch = -(-len(rows.texts) // BATCH)
    steps = max(EPOCHS * steps_an_epoch, LEAST_STEPS)
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / warm, (steps - s) / max(steps - warm, 1)))
    rng = np.random.default_rng(seed)
    model.train()
    step = 0
    while step < steps:
        order = rng.permutation(len(rows.texts))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            loss = cross_entropy(model(**_tokens(tokenizer, [rows.texts[i] for i in batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            step += 1
            if step == steps:
                break
    return step


def _probabilities(model: Any, tokenizer: Any, texts: list[str]) -> NDArray[np.float64]:
    import torch

    model.eval()
    order = np.argsort([-len(text) for text in texts], kind="stable")
    answer = np.empty((len(texts), model.head.out_features))
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            logits = model(**_tokens(tokenizer, [texts[i] for i in batch]))
            answer[batch] = torch.softmax(logits.double(), dim=1).numpy()
    return answer


def _tokens(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}
