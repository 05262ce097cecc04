"""The planned time of fine-tuning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.runtime.numeric_class import bodies_at_once, tuning_class
from fsat_tasks.tuning.budget import RATES, Cost, tuning_cost


def test_planned_seconds_are_the_operations_over_the_rate() -> None:
    cost = Cost(60_000, 1e11)
    assert cost.seconds(1000, 0) == pytest.approx(6 * 60_000 * 1000 / 1e11)
    assert cost.seconds(0, 3000) == pytest.approx(cost.seconds(1000, 0))
    assert cost.seconds(1000, 3000) == pytest.approx(2 * cost.seconds(1000, 0))
    assert cost.seconds(0, 0) == 0


def test_cost_counts_the_weights_of_the_blocks_and_not_the_embeddings(tmp_path: Path) -> None:
    weights = {"layer.weight": np.zeros((300, 200), np.float32), "embeddings.word_embeddings.weight": np.zeros((9000, 200))}
    save_file(weights, tmp_path / "model.safetensors")
    source = EncoderSource("sized", tmp_path, {"normalize": True})
    assert tuning_cost(source, "cpu") == Cost(60_000, bodies_at_once() * RATES[tuning_class("cpu")])
    assert tuning_cost(source, "cuda") == Cost(60_000, 2e13)


def test_every_class_of_this_machine_has_a_rate() -> None:
    rates = {str(one): rate for one, rate in RATES.items()}
    assert set(rates) == {"torch-cpu-fp32", "torch-cpu-bf16", "torch-cuda-bf16"}
    assert rates["torch-cpu-fp32"] < rates["torch-cpu-bf16"] < rates["torch-cuda-bf16"]
