"""Body tuning in real torch on a tiny encoder: what is learnt, what stays, what is merged, and what a killed run finds."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits
from transformers import BertConfig, BertModel

from fsat_tasks.encoders.graph import PooledEncoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import FsatError
from fsat_tasks.numerics.evidence.held_out import Comparison, stratified_folds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.pool_taught import FOLDS
from fsat_tasks.runtime import device, numeric_class
from fsat_tasks.tuning import cross_fitting as body_rung
from fsat_tasks.tuning import fine_tuning as body_module
from fsat_tasks.tuning import rungs
from fsat_tasks.tuning import workers as body_process
from fsat_tasks.tuning.budget import planned_seconds
from fsat_tasks.tuning.cross_fitting import DISTANCES, CrossFit, FoldPool, cross_fit
from fsat_tasks.tuning.fine_tuning import (
    BodySettings,
    TokenRows,
    Weights,
    average_weights,
    encode_rows,
    load_body,
    tune_body,
    tuned_weights,
    weights_between,
)
from fsat_tasks.tuning.ladder import climb
from fsat_tasks.tuning.material import Material, Rows
from fsat_tasks.tuning.rungs import FROZEN_RUNGS, RUNGS, LadderSettings, fit_head
from fsat_tasks.tuning.workers import BodyJob, tune_bodies

Array = NDArray[np.float64]
Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Method = Literal["full", "lora", "oft"]

METHODS: tuple[Method, ...] = ("full", "lora", "oft")
VOCABULARY, DIM, LAYERS, CLASSES = 100, 32, 3, 3
START, END = 1, 2
"""Tokens around every text."""


@pytest.fixture(autouse=True, scope="module")
def _small_steps_on_one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order, and no time lost on shared cores
    with threadpool_limits(1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_module, "ROWS_PER_STEP", 8)  # several steps an epoch
        patch.setattr(rungs, "EPOCHS", 3)  # for time
        patch.setattr(rungs, "LESSON_EPOCHS", 1)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EncoderSource:
    """A random BERT of two blocks."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=DIM,
        num_hidden_layers=LAYERS - 1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("tiny")
    BertModel(config).save_pretrained(folder, safe_serialization=True)
    return EncoderSource("tiny", folder, "mean", True, 64)


def texts(labels: Labels, seed: int) -> list[list[int]]:
    """Token ids: four in ten from the class's own ten words, the others from all; 3 to 12 a text."""
    rng = np.random.default_rng(seed)
    rows = []
    for label in labels:
        length = int(rng.integers(3, 13))
        own, other = 10 + 10 * label + rng.integers(0, 10, length), rng.integers(10, VOCABULARY, length)
        rows.append([START, *np.where(rng.random(length) < 0.4, own, other).tolist(), END])
    return rows


def one_hot(labels: Labels) -> Features:
    return np.eye(CLASSES, dtype=np.float32)[labels]


def class_means(features: Features, labels: Labels) -> Features:
    return np.stack([features[labels == c, -1].mean(axis=0) for c in range(CLASSES)])


def loss_of(features: Features, labels: Labels) -> float:
    """Cross-entropy of the cosines to the class means, at the temperature of the tuning."""
    means = class_means(features, labels)
    cosines = features[:, -1] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    return float(-log_softmax(cosines / BodySettings.temperature, axis=1)[np.arange(len(labels)), labels].mean())


LABELS = np.repeat(np.arange(CLASSES), 12)
SHOTS = texts(LABELS, 0)
FAST = BodySettings(epochs=8, learning_rate=3e-3)


def tune(
    source: EncoderSource,
    settings: BodySettings = FAST,
    rows: TokenRows = SHOTS,
    targets: Features | None = None,
    seed: int = 0,
) -> tuple[PooledEncoder, float]:
    body = load_body(source, "cpu")
    vectors = class_means(encode_rows(body, SHOTS), LABELS)
    error = tune_body(body, rows, one_hot(LABELS) if targets is None else targets, vectors, settings, seed)
    return body, error


@pytest.fixture(scope="module", params=METHODS)
def tuned(request: pytest.FixtureRequest, source: EncoderSource) -> tuple[Method, PooledEncoder, float]:
    method: Method = request.param
    return method, *tune(source, replace(FAST, method=method))


def test_tuning_lowers_the_loss_and_changes_the_features(
    source: EncoderSource, tuned: tuple[Method, PooledEncoder, float]
) -> None:
    _, body, _ = tuned
    before, after = encode_rows(load_body(source, "cpu"), SHOTS), encode_rows(body, SHOTS)
    assert loss_of(after, LABELS) < loss_of(before, LABELS) - 0.1
    assert np.abs(after[:, 1:] - before[:, 1:]).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(after, axis=2), 1.0, atol=1e-5)


def test_adapters_are_merged_and_the_weights_fit_a_fresh_body(
    source: EncoderSource, tuned: tuple[Method, PooledEncoder, float]
) -> None:
    _, body, _ = tuned
    assert not [module for module in body.modules() if type(module).__module__.startswith("peft")]
    fresh = load_body(source, "cpu")
    assert {name for name, _ in body.named_parameters()} == {name for name, _ in fresh.named_parameters()}
    again = load_body(source, "cpu", tuned_weights(body))
    np.testing.assert_array_equal(encode_rows(again, SHOTS), encode_rows(body, SHOTS))


def test_token_embeddings_never_change(source: EncoderSource, tuned: tuple[Method, PooledEncoder, float]) -> None:
    _, body, _ = tuned
    before, after = (each.body.get_input_embeddings().weight for each in (load_body(source, "cpu"), body))
    assert torch.equal(before, after)
    assert not [name for name in tuned_weights(body) if "word_embeddings" in name or "pooler" in name]


def test_rotations_are_orthogonal(source: EncoderSource, tuned: tuple[Method, PooledEncoder, float]) -> None:
    method, body, error = tuned
    assert 0 < error < 1e-3 if method == "oft" else error == 0
    if method != "oft":
        return
    before, after = (dict(each.named_parameters()) for each in (load_body(source, "cpu"), body))
    for name in ("attention.self.query", "intermediate.dense", "output.dense"):  # a rotation keeps each row's length
        weights = [each[f"body.encoder.layer.0.{name}.weight"].detach() for each in (before, after)]
        assert not torch.allclose(weights[0], weights[1], atol=1e-3)
        torch.testing.assert_close(weights[1].norm(dim=1), weights[0].norm(dim=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_weights_bit_for_bit(source: EncoderSource, method: Method) -> None:
    settings = BodySettings(method, epochs=1)
    first, again, other = (tuned_weights(tune(source, settings, seed=seed)[0]) for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_progress_counts_each_row_of_each_epoch(source: EncoderSource) -> None:
    body, done = load_body(source, "cpu"), list[int]()
    vectors = np.ones((CLASSES, DIM), np.float32)
    tune_body(body, SHOTS, one_hot(LABELS), vectors, BodySettings(epochs=2), 0, done.append)
    assert done == sorted(set(done))
    assert done[-1] == 2 * len(SHOTS)


def test_soft_targets_put_rows_between_the_classes(source: EncoderSource) -> None:
    """Rows of class 0 with half of their target on class 1 end nearer to the middle than those that are all of class 0."""
    body = load_body(source, "cpu")
    half = np.flatnonzero(LABELS == 0)[6:]
    soft = one_hot(LABELS)
    soft[half] = [0.5, 0.5, 0.0]
    gaps = []
    for targets in (one_hot(LABELS), soft):
        body, _ = tune(source, BodySettings(epochs=8, learning_rate=3e-3, contrastive=0.0), targets=targets)
        features = encode_rows(body, SHOTS)
        certain = np.setdiff1d(np.arange(len(LABELS)), half)
        means = class_means(features[certain], LABELS[certain])
        gaps.append(float((features[half, -1] @ (means[0] - means[1])).mean()))
    assert gaps[1] < gaps[0] - 0.1


@pytest.mark.parametrize(
    "labels", [np.array([0]), np.array([0, 1, 2]), np.zeros(5, np.int64)], ids=["one row", "one row a class", "one class"]
)
def test_few_rows_and_one_class_give_finite_weights(source: EncoderSource, labels: Labels) -> None:
    body, _ = tune(source, replace(FAST, epochs=2), texts(labels, 5), one_hot(labels))
    assert all(torch.isfinite(weight).all() for weight in tuned_weights(body).values())


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
    found = float(body_module._contrastive(unit, torch.tensor(labels), 0.2))
    assert found == pytest.approx(np.mean(losses) if losses else 0.0)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_batches_hold_every_row_once_within_the_bounds(lengths: list[int], seed: int) -> None:
    batches = body_module._batches(np.array(lengths), np.random.default_rng(seed))
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert len(batch) == 1 or (padded <= body_module.TOKENS_PER_STEP and len(batch) <= body_module.ROWS_PER_STEP)


def test_rows_are_encoded_alike_in_any_order_and_padding(source: EncoderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    body = load_body(source, "cpu")
    rows = [*SHOTS, [START, END], [START], [], list(range(1, 60)), SHOTS[0]]
    with torch.inference_mode():
        alone = [
            body(torch.tensor([row or [0]]), torch.tensor([[1] * len(row) or [0]]))[0][0].numpy() for row in rows
        ]  # (layers, dim)
    for budget in (1024, 64, 1):
        monkeypatch.setattr(body_module, "TOKENS_PER_BATCH", {"cpu": budget})
        order = np.random.default_rng(budget).permutation(len(rows))
        features = encode_rows(body, [rows[i] for i in order])
        assert features.shape == (len(rows), LAYERS, DIM)
        np.testing.assert_allclose(features, np.stack(alone)[order], atol=2e-5)
    assert encode_rows(body, []).shape == (0, LAYERS, DIM)


@pytest.mark.parametrize("bodies", [1, 2, FOLDS])
def test_mean_of_equal_weights_is_these_weights(source: EncoderSource, bodies: int) -> None:
    weights = tuned_weights(load_body(source, "cpu"))
    for name, mean in average_weights([weights] * bodies).items():
        torch.testing.assert_close(mean, weights[name], rtol=1e-6, atol=0)


def test_mean_of_weights_is_taken_entry_by_entry() -> None:
    bodies: list[Weights] = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}]
    assert average_weights(bodies)["w"].tolist() == [2.0, 4.0]


def rows_of(source: EncoderSource, tokens: TokenRows) -> Rows:
    return Rows(encode_rows(load_body(source, "cpu"), tokens), tokens)


def material(source: EncoderSource, shots: int = 4, pool: int = 0) -> Material:
    """Shots, a name of three own words, and `pool` unlabelled rows for each class."""
    labels = np.repeat(np.arange(CLASSES), shots)
    names = [[START, 10 + 10 * c, 11 + 10 * c, 12 + 10 * c, END] for c in range(CLASSES)]
    unlabelled = texts(np.repeat(np.arange(CLASSES), pool), 2)
    return Material(source, rows_of(source, texts(labels, 1)), labels, rows_of(source, names), rows_of(source, unlabelled))


def pools_of(given: Material, soft_labels: Array | None = None) -> list[FoldPool]:
    """The whole pool for each fold, without soft labels or with the same ones."""
    return [FoldPool(np.arange(len(given.pool)), soft_labels)] * FOLDS if len(given.pool) else []


def fitted(given: Material, checkpoints: Path | None = None, seed: int = 0) -> CrossFit:
    setting = fit_frozen_head(given.shots.features, given.labels, given.names.features).chosen
    return cross_fit(given, setting, replace(FAST, epochs=2), pools_of(given), 0, seed, "cpu", checkpoints)


def assert_same(one: CrossFit, two: CrossFit) -> None:
    assert all(torch.equal(one.weights[name], two.weights[name]) for name in one.weights)
    for field in ("shots", "names", "pool"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    np.testing.assert_array_equal(one.probe.held_out.logits, two.probe.held_out.logits)
    assert one.orthogonality_error == two.orthogonality_error


def no_tuning(*_: Any) -> float:
    raise AssertionError("tuned again")


def test_tuned_folds_are_found_again(source: EncoderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = material(source)
    first = fitted(given, tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == FOLDS
    monkeypatch.setattr(body_module, "tune_body", no_tuning)
    assert_same(fitted(given, tmp_path / "kept"), first)
    with pytest.raises(AssertionError, match="tuned again"):
        fitted(given, tmp_path / "kept", seed=FOLDS)


def test_run_that_was_killed_tunes_just_the_folds_that_it_had_not_finished(
    source: EncoderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, writes = material(source), []
    whole = Path.write_bytes

    def killed(path: Path, data: bytes) -> int:
        writes.append(path)
        if len(writes) < 3:
            return whole(path, data)
        whole(path, data[: len(data) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            fitted(given, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert len(list(tmp_path.glob("*.safetensors"))) == 2  # the third is not seen as one
    tuned: list[int] = []

    def counted(*arguments: Any) -> float:
        tuned.append(1)
        return tune_body(*arguments)

    monkeypatch.setattr(body_module, "tune_body", counted)
    assert_same(fitted(given, tmp_path), fitted(given))
    assert len(tuned) == FOLDS - 2 + FOLDS


def test_cross_fit_gives_the_mean_body_and_evidence_for_each_shot(source: EncoderSource) -> None:
    given = material(source, pool=5)
    found = fitted(given)
    body = load_body(source, "cpu", found.weights)
    np.testing.assert_array_equal(found.shots, encode_rows(body, given.shots.tokens))
    np.testing.assert_array_equal(found.pool, encode_rows(body, given.pool.tokens))
    assert found.taught is not None
    for head in (found.probe, found.taught):
        assert head.held_out.logits.shape == (len(given.labels), CLASSES)
        assert np.isfinite(head.held_out.logits).all()
        assert head.unseen.shape == (len(given.labels), 2)
    for pool in found.pools:
        assert pool.soft_labels is not None
        assert pool.soft_labels.shape == (len(given.pool), CLASSES)


def test_each_body_is_tuned_on_the_shots_outside_its_fold(source: EncoderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    given, shown = material(source), []

    def watched(body: PooledEncoder, rows: TokenRows, targets: Features, *_: Any) -> float:
        shown.append((list(rows), targets))
        return 0.0

    monkeypatch.setattr(body_module, "tune_body", watched)
    fitted(given)
    fold = stratified_folds(given.labels, FOLDS)
    for k, (rows, targets) in enumerate(shown):
        seen = np.flatnonzero(fold != k)
        assert rows == [given.shots.tokens[i] for i in seen.tolist()]
        np.testing.assert_array_equal(targets, one_hot(given.labels[seen]))


def test_pool_rows_are_tuned_on_with_their_soft_labels_beside_repeated_shots(source: EncoderSource) -> None:
    given, seen = material(source, pool=12), np.arange(4 * CLASSES) % 4 != 0
    rng = np.random.default_rng(0)
    pool = FoldPool(rng.permutation(36), rng.dirichlet(np.ones(CLASSES), 36))
    rows, targets = body_rung._training_rows(given, seen, pool, 30)
    shown = [given.pool.tokens[i] for i in pool.rows[:30].tolist()]
    assert rows == [given.shots.tokens[i] for i in np.flatnonzero(seen).tolist()] + shown  # 9 and 30: a quarter
    np.testing.assert_array_equal(targets[:9], one_hot(given.labels[seen]))
    assert pool.soft_labels is not None
    np.testing.assert_allclose(targets[9:], pool.soft_labels[:30], rtol=1e-5)
    seen[2:] = False  # one shot, eight times
    assert list(body_rung._training_rows(given, seen, pool, 30)[0])[:8] == [given.shots.tokens[1]] * 8


def test_soft_labels_of_the_pool_take_part(source: EncoderSource) -> None:
    given = material(source, pool=4)
    setting = fit_frozen_head(given.shots.features, given.labels, given.names.features).chosen
    settings, truth = BodySettings("lora", epochs=1), np.repeat(np.eye(CLASSES), 4, axis=0)
    pools = pools_of(given, 0.8 * truth + 0.2 / CLASSES)
    without, taught = (cross_fit(given, setting, settings, pools, lesson, 0, "cpu", None) for lesson in (0, len(given.pool)))
    assert not np.array_equal(without.shots, taught.shots)
    assert np.isfinite(taught.shots).all()
    assert without.orthogonality_error == taught.orthogonality_error == 0


def test_planned_seconds_are_the_operations_of_the_blocks_over_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"layer.weight": np.zeros((300, 200), np.float32), "embeddings.word_embeddings.weight": np.zeros((9000, 200))}
    save_file(weights, tmp_path / "model.safetensors")
    source = EncoderSource("sized", tmp_path, "mean", True, 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(numeric_class, "has_bfloat16", lambda: False)
    assert planned_seconds(source, 1000, 0, "cpu") == pytest.approx(6 * 60_000 * 1000 / (4 * 25e9))
    assert planned_seconds(source, 0, 3000, "cpu") == pytest.approx(planned_seconds(source, 1000, 0, "cpu"))
    assert planned_seconds(source, 1000, 0, "cuda") == pytest.approx(6 * 60_000 * 1000 / 2e13)
    assert planned_seconds(source, 0, 0, "cpu") == 0


@pytest.mark.parametrize(("method", "pool"), [("full", 0), ("oft", 6)])
def test_whole_ladder_is_climbed_to_finite_calibrated_heads(source: EncoderSource, method: Method, pool: int) -> None:
    given = material(source, pool=pool)
    reached = climb(given, LadderSettings(RUNGS, 60.0, method), 0)
    assert [rung.name for rung in reached.trace] == list(RUNGS)
    assert all(
        (rung.log_loss is not None) == (pool > 0 or rung.name in ("prototypes", "probe", "body")) for rung in reached.trace
    )
    fresh = texts(np.repeat(np.arange(CLASSES), 5), 9)
    features = encode_rows(load_body(source, "cpu", reached.weights), fresh)
    logits = reached.head.logits(mix_layers(features, reached.layers)) / reached.held_out.temperature
    np.testing.assert_allclose(softmax(logits, axis=1).sum(axis=1), 1.0)
    np.testing.assert_array_equal(reached.shots, encode_rows(load_body(source, "cpu", reached.weights), given.shots.tokens))


def test_tuned_body_is_taken_where_it_is_better_and_its_head_is_fitted_on_its_features(
    source: EncoderSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparison, "better", property(lambda self: True))
    given = material(source, pool=6)
    reached = climb(given, LadderSettings(RUNGS, 60.0), 0)
    assert [rung.name for rung in reached.trace if rung.taken] == [*FROZEN_RUNGS, "self-training"]
    assert reached.weights is not None
    body = load_body(source, "cpu", reached.weights)
    np.testing.assert_array_equal(reached.names, encode_rows(body, given.names.tokens))
    again = fit_head(reached.shots, given.labels, reached.names, reached.pool, reached.setting, reached.share)
    rows = mix_layers(reached.shots, reached.layers)
    np.testing.assert_allclose(again.logits(rows), reached.head.logits(rows), atol=1e-6)


def test_weights_between_go_from_the_pretrained_to_the_tuned_ones() -> None:
    ends: list[Weights] = [{"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}]
    assert [weights_between(ends[0], ends[1], distance)["w"].tolist() for distance in (0.0, 0.5, 1.0)] == [[1, 2], [2, 4], [3, 6]]
    assert 1.0 in DISTANCES


def test_features_in_mixed_precision_are_near_the_exact_ones(source: EncoderSource) -> None:
    body = load_body(source, "cpu")
    np.testing.assert_allclose(encode_rows(body, SHOTS, exact=False), encode_rows(body, SHOTS), atol=0.02)


@pytest.mark.parametrize(("built", "expected"), [("2.13.0+cpu", "cpu"), ("2.13.0", "cuda"), ("2.13.0+cu130", "cuda")])
def test_a_gpu_is_left_alone_by_a_torch_that_was_built_without_one(
    built: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "version", lambda _: built)
    assert device.tuning_device("cuda") == expected
    assert device.tuning_device("cpu") == "cpu"


def test_where_one_body_fails_the_others_are_ended(source: EncoderSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fold's job cannot be read; the process of the other, which would go on for long, is killed."""
    rows = texts(np.repeat(np.arange(CLASSES), 4), 0)
    targets, vectors = one_hot(np.repeat(np.arange(CLASSES), 4)), np.ones((CLASSES, DIM), np.float32)
    long = BodyJob(source, rows, targets, vectors, BodySettings(epochs=100_000), 0, "cpu")
    broken = replace(long, targets=targets[:2])
    monkeypatch.setattr(body_process, "available_cores", lambda: 2)
    before, children = children_seconds(), set(psutil.Process().children())
    with pytest.raises(FsatError, match="tuning the body failed with exit code 1"):
        tune_bodies([long, broken], None, lambda _: None)
    assert children_seconds() - before < 60
    assert set(psutil.Process().children()) <= children


def children_seconds() -> float:
    """Processor time of the processes that were started and have ended, which a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
