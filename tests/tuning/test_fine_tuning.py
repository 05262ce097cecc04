"""Fine-tuning in real torch on a tiny encoder: weights that change, weights that stay, and adapters that are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from fsat_tasks.encoders.graph import TorchEncoder
from fsat_tasks.encoders.prepare import Prepared
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.encoders.text_preparer import prepare_ids
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.numerics.types import Features, Labels
from fsat_tasks.tuning.fine_tuning import (
    STEP_SIZE,
    Weights,
    _alike,
    _batches,
    _contrastive,
    average_weights,
    encode_rows,
    fine_tune,
    load_torch_encoder,
    tuned_weights,
    weights_between,
)
from fsat_tasks.tuning.jobs import FineTuningSettings, TrainingRows
from tuning.tiny_encoder import CLASSES, DIM, END, FAST, LABELS, LAYERS, SHOTS, START, class_means, one_hot, texts

Method = Literal["full", "lora", "oft"]

METHODS: tuple[Method, ...] = ("full", "lora", "oft")


def loss_of(features: Features, labels: Labels) -> float:
    """Return the cross-entropy of the cosines to the class means, at the temperature of the tuning."""
    means = class_means(features, labels)
    cosines = features[:, -1] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    return float(-log_softmax(cosines / FineTuningSettings.temperature, axis=1)[np.arange(len(labels)), labels].mean())


def tune(
    source: EncoderSource,
    settings: FineTuningSettings = FAST,
    rows: Sequence[Prepared] = SHOTS,
    targets: Features | None = None,
    seed: int = 0,
) -> tuple[TorchEncoder, float]:
    encoder = load_torch_encoder(source, "cpu")
    vectors = class_means(encode_rows(encoder, SHOTS), LABELS)
    training = TrainingRows(rows, one_hot(LABELS) if targets is None else targets, vectors)
    return encoder, fine_tune(encoder, training, settings, seed)


@pytest.fixture(scope="module", params=METHODS)
def tuned(request: pytest.FixtureRequest, source: EncoderSource) -> tuple[Method, TorchEncoder, float]:
    method: Method = request.param
    return method, *tune(source, replace(FAST, method=method))


def test_fine_tuning_lowers_the_loss_and_changes_the_features(
    source: EncoderSource, tuned: tuple[Method, TorchEncoder, float]
) -> None:
    _, encoder, _ = tuned
    before, after = encode_rows(load_torch_encoder(source, "cpu"), SHOTS), encode_rows(encoder, SHOTS)
    assert loss_of(after, LABELS) < loss_of(before, LABELS) - 0.1
    assert np.abs(after[:, 1:] - before[:, 1:]).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(after, axis=2), 1.0, atol=1e-5)


def test_adapters_are_merged_and_the_weights_fit_a_fresh_encoder(
    source: EncoderSource, tuned: tuple[Method, TorchEncoder, float]
) -> None:
    _, encoder, _ = tuned
    assert not [module for module in encoder.modules() if type(module).__module__.startswith("peft")]
    fresh = load_torch_encoder(source, "cpu")
    assert {name for name, _ in encoder.named_parameters()} == {name for name, _ in fresh.named_parameters()}
    again = load_torch_encoder(source, "cpu", tuned_weights(encoder))
    np.testing.assert_array_equal(encode_rows(again, SHOTS), encode_rows(encoder, SHOTS))


def test_token_embeddings_never_change(source: EncoderSource, tuned: tuple[Method, TorchEncoder, float]) -> None:
    _, encoder, _ = tuned
    before, after = (each.body.get_input_embeddings().weight for each in (load_torch_encoder(source, "cpu"), encoder))
    assert torch.equal(before, after)
    assert not [name for name in tuned_weights(encoder) if "word_embeddings" in name or "pooler" in name]


def test_rotations_are_orthogonal(source: EncoderSource, tuned: tuple[Method, TorchEncoder, float]) -> None:
    method, encoder, error = tuned
    assert 0 < error < 1e-3 if method == "oft" else error == 0
    if method != "oft":
        return
    before, after = (dict(each.named_parameters()) for each in (load_torch_encoder(source, "cpu"), encoder))
    for name in ("attention.self.query", "intermediate.dense", "output.dense"):  # a rotation keeps each row's length
        weights = [each[f"body.encoder.layer.0.{name}.weight"].detach() for each in (before, after)]
        assert not torch.allclose(weights[0], weights[1], atol=1e-3)
        torch.testing.assert_close(weights[1].norm(dim=1), weights[0].norm(dim=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_weights_bit_for_bit(source: EncoderSource, method: Method) -> None:
    settings = replace(FAST, method=method, epochs=1)
    first, again, other = (tuned_weights(tune(source, settings, seed=seed)[0]) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_progress_counts_each_row_of_each_epoch(source: EncoderSource) -> None:
    done: list[int] = []
    training = TrainingRows(SHOTS, one_hot(LABELS), np.ones((CLASSES, DIM), np.float32))
    fine_tune(load_torch_encoder(source, "cpu"), training, replace(FAST, epochs=2), 0, done.append)
    assert done == sorted(set(done))
    assert len(done) >= 2 * len(SHOTS) / FAST.rows_per_step
    assert done[-1] == 2 * len(SHOTS)


def test_soft_targets_put_rows_between_the_classes(source: EncoderSource) -> None:
    """Rows of class 0 with half of their target on class 1 end nearer to the middle than rows with all of it on class 0."""
    half = np.flatnonzero(LABELS == 0)[6:]
    soft = one_hot(LABELS)
    soft[half] = [0.5, 0.5, 0.0]
    gaps = []
    for targets in (one_hot(LABELS), soft):
        encoder, _ = tune(source, replace(FAST, contrastive=0.0), targets=targets)
        features = encode_rows(encoder, SHOTS)
        certain = np.setdiff1d(np.arange(len(LABELS)), half)
        means = class_means(features[certain], LABELS[certain])
        gaps.append(float((features[half, -1] @ (means[0] - means[1])).mean()))
    assert gaps[1] < gaps[0] - 0.1


@pytest.mark.parametrize(
    "labels", [np.array([0]), np.array([0, 1, 2]), np.zeros(5, np.int64)], ids=["one row", "one row a class", "one class"]
)
def test_few_rows_and_one_class_give_finite_weights(source: EncoderSource, labels: Labels) -> None:
    encoder, _ = tune(source, replace(FAST, epochs=2), texts(labels, 5), one_hot(labels))
    assert all(torch.isfinite(weight).all() for weight in tuned_weights(encoder).values())


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_contrastive_loss_is_equation_2_of_khosla(labels: list[int], seed: int) -> None:
    unit = torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=(len(labels), 6))), dim=-1)
    losses = []
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        same = [j for j in others if labels[j] == label]
        if same:
            scores = log_softmax([float(unit[i] @ unit[j]) / 0.2 for j in others])
            losses.append(-np.mean([scores[others.index(j)] for j in same]))
    found = float(_contrastive(unit, _alike(torch.eye(4)[labels]), 0.2))
    assert found == pytest.approx(np.mean(losses) if losses else 0.0)


@given(st.integers(1, 20), st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_rows_with_one_likeliest_label_are_alike_if_it_is_the_same(rows: int, classes: int, seed: int) -> None:
    soft = torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(classes), rows).astype(np.float32))
    likeliest = soft.argmax(1)
    same = likeliest[:, None] == likeliest[None, :]
    assert torch.equal(_alike(soft), same)
    assert torch.equal(_alike(torch.eye(classes)[likeliest]), same)


def test_rows_with_several_labels_are_alike_if_they_share_any() -> None:
    shares = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert _alike(shares).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.sampled_from([8, 128]), st.integers(0, 2**32 - 1))
def test_batches_hold_every_row_once_within_the_bounds(lengths: list[int], most_rows: int, seed: int) -> None:
    batches = _batches(np.array(lengths), most_rows, np.random.default_rng(seed))
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert len(batch) == 1 or (padded <= STEP_SIZE and len(batch) <= most_rows)


def test_rows_are_encoded_alike_in_any_order_and_padding(source: EncoderSource) -> None:
    encoder = load_torch_encoder(source, "cpu")
    rows = [*SHOTS, *map(prepare_ids, ([START, END], [START], [], range(1, 60))), SHOTS[0]]
    with torch.inference_mode():
        alone = [
            encoder(torch.tensor([ids or [0]]), torch.tensor([[1] * len(ids) or [0]]))[0][0].numpy()
            for ids in (row.arrays["input_ids"].tolist() for row in rows)
        ]  # (layers, dim)
    for tokens in (1024, 64, 1):
        order = np.random.default_rng(tokens).permutation(len(rows))
        features = encode_rows(encoder, [rows[i] for i in order], batch_size=tokens)
        assert features.shape == (len(rows), LAYERS, DIM)
        np.testing.assert_allclose(features, np.stack(alone)[order], atol=2e-5)
    assert encode_rows(encoder, []).shape == (0, LAYERS, DIM)


def test_features_in_mixed_precision_are_near_the_exact_ones(source: EncoderSource) -> None:
    encoder = load_torch_encoder(source, "cpu")
    np.testing.assert_allclose(encode_rows(encoder, SHOTS, exact=False), encode_rows(encoder, SHOTS), atol=0.02)


@pytest.mark.parametrize("encoders", [1, 2, FOLDS])
def test_mean_of_equal_weights_is_these_weights(source: EncoderSource, encoders: int) -> None:
    weights = tuned_weights(load_torch_encoder(source, "cpu"))
    for name, mean in average_weights([weights] * encoders).items():
        torch.testing.assert_close(mean, weights[name], rtol=1e-6, atol=0)


def test_mean_of_weights_is_taken_entry_by_entry() -> None:
    encoders: list[Weights] = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}]
    assert average_weights(encoders)["w"].tolist() == [2.0, 4.0]


def test_weights_between_go_from_the_pretrained_to_the_tuned_ones() -> None:
    ends: list[Weights] = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}]
    assert [weights_between(ends[0], ends[1], distance)["w"].tolist() for distance in (0.0, 0.5, 1.0)] == [[1, 2], [2, 4], [3, 6]]
