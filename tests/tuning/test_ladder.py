"""The ladder's frozen rungs on made-up clusters: what is taken, what is refused and why, and input that is odd or bad."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.errors import DataError, DivergedError
from fsat_tasks.numerics.evidence.calibration import fit_temperature, log_loss
from fsat_tasks.numerics.evidence.held_out import Comparison, HeldOut, Prior, judge
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.geometry.pool_directions import view_pool
from fsat_tasks.numerics.heads.folds import FoldHead
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.pool_taught import hold_out, prepare
from fsat_tasks.numerics.heads.probe import LinearHead
from fsat_tasks.numerics.heads.prototypes import fit_prototypes
from fsat_tasks.tuning import rungs as rungs_module
from fsat_tasks.tuning.cross_fitting import CrossFit, TunedHead, probe_on_folds
from fsat_tasks.tuning.ladder import climb
from fsat_tasks.tuning.material import Material, Rows
from fsat_tasks.tuning.rungs import FROZEN_RUNGS, RUNGS, Climb, LadderSettings, fit_head

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
LAYERS, DIM = 3, 24
FROZEN = LadderSettings(FROZEN_RUNGS)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def clusters(classes: int, rows: int, seed: int, spread: float) -> tuple[Array, Labels]:
    centres = np.random.default_rng(0).normal(size=(classes, LAYERS, DIM))
    labels = np.repeat(np.arange(classes), rows)
    return centres[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), LAYERS, DIM)), labels


def rows_of(features: Array, tokens: int = 0) -> Rows:
    return Rows(features.astype(np.float32), [[1] * tokens] * len(features))


def material(
    classes: int = 5, shots: int = 4, pool: int = 0, spread: float = 1.5, folder: Path = Path("nowhere"), tokens: int = 0
) -> Material:
    """Shots, `pool` unlabelled rows a class, and names that say a little; texts of so many tokens."""
    features, labels = clusters(classes, shots, 1, spread)
    names, unlabelled = clusters(classes, 1, 99, 3.0)[0], clusters(classes, pool, 2, spread)[0]
    source = EncoderSource("none", folder, "mean", True, 16)
    return Material(source, rows_of(features, tokens), labels, rows_of(names, tokens), rows_of(unlabelled, tokens))


def with_shots(features: Array, labels: Labels, classes: int, pool: int = 20) -> Material:
    other = material(classes, 1, pool)
    return Material(other.source, rows_of(features), labels, other.names, other.pool)


def calibrated(reached: Climb, features: NDArray[np.floating]) -> Array:
    logits: Array = reached.head.logits(mix_layers(features, reached.layers)) / reached.held_out.temperature
    return logits


def assert_sound(reached: Climb, given: Material) -> None:
    classes = len(given.names)
    assert [rung.name for rung in reached.trace] == [name for name in RUNGS if name in FROZEN_RUNGS]
    assert reached.trace[0].taken
    assert np.isfinite(calibrated(reached, given.names.features)).all()
    assert 0 < reached.held_out.temperature < np.inf
    assert reached.held_out.logits.shape == (len(given.labels), classes)
    assert reached.unseen is None
    assert reached.weights is None
    last = [rung for rung in reached.trace if rung.taken][-1]
    assert (last.log_loss, last.accuracy) == (reached.held_out.log_loss, reached.held_out.accuracy)


def test_clusters_are_climbed_to_the_pool_and_each_step_is_told() -> None:
    given = material(8, 8, pool=60, spread=2.0)
    reached = climb(given, FROZEN, 0)
    assert_sound(reached, given)
    assert [rung.taken for rung in reached.trace] == [True, True, True]
    assert reached.trace[0].reason == "the first rung"
    assert len(reached.pool) == len(given.pool)
    fresh, truth = clusters(8, 100, 3, 2.0)
    losses = [log_loss(calibrated(climb(given, LadderSettings(FROZEN_RUNGS[:rungs]), 0), fresh), truth) for rungs in (1, 2, 3)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("seed", range(4))
def test_a_rung_is_taken_just_where_its_reason_says_that_it_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels = clusters(4, int(rng.integers(2, 8)), seed + 5, float(rng.uniform(0.5, 3.0)))
    given = with_shots(features, labels, 4)
    reached = climb(given, FROZEN, seed)
    assert_sound(reached, given)
    for rung in reached.trace[1:]:
        numbers = re.fullmatch(r"log-loss (\S+) \(standard error (\S+)\)(, expected (\S+))?, accuracy (\S+)", rung.reason)
        assert numbers is not None, rung.reason
        loss, error, accuracy = (float(numbers[group]) for group in (1, 2, 5))
        if rung.name == "probe":  # with a prior; how much accuracy may be lost depends on rows that are not told
            assert not rung.taken or float(numbers[4]) < 0
        else:
            assert rung.taken == (-loss > error and accuracy >= 0)


def test_shots_whose_labels_are_random_are_not_taught_by_the_pool() -> None:
    tops = []
    for seed in range(6):
        features, labels = clusters(5, 8, seed, 1.0)
        reached = climb(with_shots(features, np.random.default_rng(seed).permutation(labels), 5, pool=10), FROZEN, 0)
        tops.append([rung.name for rung in reached.trace if rung.taken][-1])
    assert tops.count("pool") <= 1


def test_a_pool_that_betters_a_refused_probe_must_better_the_prototypes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """One shot a class: the probe often seems worse than the prototypes, as a student that is better than the probe may."""
    monkeypatch.setattr(rungs_module, "PROBE_PRIOR", None)
    refused = 0
    for seed in range(6):
        features, labels = clusters(5, 1, seed, 1.0)
        given = with_shots(features, labels, 5, pool=40)
        reached = climb(given, FROZEN, 0)
        first, probe, pool = reached.trace
        refused += not probe.taken
        assert first.log_loss is not None and pool.log_loss is not None
        assert not pool.taken or probe.taken or pool.log_loss < first.log_loss
    assert refused >= 3


def test_where_no_rung_is_better_the_prototypes_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Comparison, "better", property(lambda self: False))
    given = material(pool=10)
    reached = climb(given, FROZEN, 0)
    assert_sound(reached, given)
    rows, names = mix_layers(given.shots.features, 1), mix_layers(given.names.features, 1)
    assert isinstance(reached.head, LinearHead)
    np.testing.assert_array_equal(reached.head.weight, fit_prototypes(rows, given.labels, names, 1.0).weight)
    assert reached.layers == 1


def test_rungs_that_are_not_asked_for_are_not_tried() -> None:
    assert [rung.name for rung in climb(material(pool=5), LadderSettings(()), 0).trace] == ["prototypes"]
    assert [rung.name for rung in climb(material(pool=5), LadderSettings(("probe",)), 0).trace] == ["prototypes", "probe"]
    assert [rung.name for rung in climb(material(pool=5), LadderSettings(("pool",)), 0).trace] == ["prototypes", "pool"]


def test_head_that_is_reached_is_the_one_fitted_again_at_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Comparison, "better", property(lambda self: True))
    given = material(4, 5, pool=20)
    for rungs in (("probe",), FROZEN_RUNGS):
        reached = climb(given, LadderSettings(rungs), 0)
        head = fit_head(reached.shots, given.labels, reached.names, reached.pool, reached.setting, reached.share)
        rows = mix_layers(given.shots.features, reached.layers)
        # the probe of a setting comes calibrated
        scale = 1.0 if len(reached.pool) else reached.setting.temperature
        np.testing.assert_allclose(scale * head.logits(rows), reached.head.logits(rows), atol=1e-6)


def test_temperature_of_the_head_that_the_pool_taught_is_that_of_its_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Comparison, "better", property(lambda self: True))
    given = material(4, 5, pool=20)
    reached = climb(given, FROZEN, 0)
    own = np.concatenate([given.shots.features, given.names.features])
    view = view_pool(reached.pool, reached.layers, own)
    evidence = hold_out(prepare(given.shots.features, given.labels, given.names.features, view, reached.setting))
    assert reached.held_out.temperature == evidence.taught.temperature


@pytest.mark.parametrize("rungs", [(), ("probe",), FROZEN_RUNGS])
def test_temperature_costs_little_against_the_best_on_fresh_rows(rungs: tuple[str, ...]) -> None:
    reached = climb(material(8, 10, pool=60, spread=2.0), LadderSettings(rungs), 0)
    fresh, truth = clusters(8, 200, 3, 2.0)
    logits = calibrated(reached, fresh)
    assert log_loss(logits, truth) < 1.1 * log_loss(logits / fit_temperature(logits, truth), truth)
    assert log_loss(logits, truth) == pytest.approx(reached.held_out.log_loss, abs=0.15)


@pytest.mark.parametrize("copies", [False, True])
def test_a_pool_without_a_new_row_is_said_to_be_none(copies: bool) -> None:
    given = material()
    if copies:
        given = Material(given.source, given.shots, given.labels, given.names, given.shots)
    reached = climb(given, FROZEN, 0)
    assert_sound(reached, given)
    assert reached.trace[2].reason == "no unlabelled rows besides the samples"
    assert reached.trace[2].log_loss is reached.trace[2].accuracy is None


@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 0], [1, 0, 2]])
def test_fewer_samples_than_folds_are_not_taught_by_the_pool(labels: list[int]) -> None:
    features = clusters(3, 1, 1, 0.5)[0][labels]
    given = with_shots(features + 0.1 * np.arange(len(labels))[:, None, None], np.array(labels), 3)
    reached = climb(given, FROZEN, 0)
    assert_sound(reached, given)
    assert reached.trace[2].reason == "fewer samples than the 4 folds of its evidence"


@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("pool", [0, 20])
def test_one_shot_a_class(classes: int, pool: int) -> None:
    given = material(classes, 1, pool, spread=0.5)
    assert_sound(climb(given, FROZEN, 0), given)


def test_samples_that_are_there_many_times_and_under_two_labels() -> None:
    features, labels = clusters(3, 3, 1, 1.0)
    for again in (labels, (labels + 1) % 3):
        given = with_shots(np.concatenate([features] * 3), np.concatenate([labels, labels, again]), 3)
        assert_sound(climb(given, FROZEN, 0), given)


def test_a_class_that_the_pool_never_shows_is_still_found() -> None:
    given = material(4, 6, pool=30, spread=1.0)
    pool = rows_of(given.pool.features[:90].astype(np.float64))
    given = Material(given.source, given.shots, given.labels, given.names, pool)
    reached = climb(given, FROZEN, 0)
    assert_sound(reached, given)
    fresh, truth = clusters(4, 50, 3, 1.0)
    assert (calibrated(reached, fresh)[truth == 3].argmax(axis=1) == 3).mean() > 0.8


def test_a_class_without_a_sample_is_kept() -> None:
    features, labels = clusters(4, 5, 1, 1.0)
    given = with_shots(features[labels != 2], labels[labels != 2], 4)
    assert_sound(climb(given, FROZEN, 0), given)


@pytest.mark.parametrize("row", [0, -1])
def test_a_pool_of_one_row(row: int) -> None:
    given = material(pool=10)
    one = rows_of(given.pool.features[[row]].astype(np.float64))
    given = Material(given.source, given.shots, given.labels, given.names, one)
    assert_sound(climb(given, FROZEN, 0), given)


def test_a_thousand_classes_of_one_shot_are_climbed_quickly() -> None:
    given = material(1000, 1, spread=0.2)
    started = time.process_time()
    reached = climb(given, FROZEN, 0)
    assert time.process_time() - started < 20
    assert_sound(reached, given)
    assert (calibrated(reached, given.shots.features).argmax(axis=1) == given.labels).mean() > 0.9


def test_same_seed_gives_the_same_climb() -> None:
    first, again = (climb(material(pool=20), FROZEN, 7) for _ in range(2))
    rows = mix_layers(material().shots.features, first.layers)
    np.testing.assert_array_equal(first.head.logits(rows), again.head.logits(rows))
    np.testing.assert_array_equal(first.held_out.logits, again.held_out.logits)
    assert [(rung.taken, rung.reason) for rung in first.trace] == [(rung.taken, rung.reason) for rung in again.trace]


@pytest.mark.parametrize("part", ["samples", "class names", "unlabelled rows"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_with_their_row(part: str, value: float) -> None:
    given = material(pool=3)
    rows = {"samples": given.shots, "class names": given.names, "unlabelled rows": given.pool}[part]
    rows.features[2, 1, 4] = value
    rows.features[4, 0, 0] = value
    with pytest.raises(DataError, match=f"features of the {part}, row 3: expected finite numbers"):
        climb(given, FROZEN, 0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_features_that_are_all_the_same_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="features of the samples: expected texts that differ"):
        climb(with_shots(np.full((6, LAYERS, DIM), value), np.arange(6) % 3, 3), FROZEN, 0)


def test_a_budget_that_is_too_small_says_what_was_planned(tmp_path: Path) -> None:
    save_file({"layer.weight": np.zeros((1000, 1000), np.float32)}, tmp_path / "model.safetensors")
    reached = climb(material(pool=2, folder=tmp_path, tokens=1000), LadderSettings(budget_seconds=0.0), 0)
    reasons = {rung.name: rung.reason for rung in reached.trace}
    assert re.fullmatch(r"planned at \d+ s; 0 s of the budget are left", reasons["body"])
    assert reasons["body-pool"] == "needs the rung 'body'"
    assert re.fullmatch(r"planned at \d+ s; 0 s of the budget are left", reasons["self-training"])
    assert reached.weights is None


def test_upper_rungs_say_what_they_need() -> None:
    trace = climb(material(2, 1), LadderSettings(RUNGS), 0).trace
    assert {rung.name: rung.reason for rung in trace[3:]} == {
        "body": "fewer samples than the 4 folds of its evidence",
        "body-pool": "needs the rung 'body'",
        "self-training": "no unlabelled rows besides the samples",
    }
    assert not any(rung.taken for rung in trace[3:])


def incumbents(given: Material, rungs: tuple[str, ...], probe_taken: bool, monkeypatch: pytest.MonkeyPatch) -> list[HeldOut]:
    """What each rung above the first was compared with; the probe is taken or not, and no other."""
    seen: list[HeldOut] = []

    def decide(challenger: HeldOut, incumbent: HeldOut, prior: Prior | None = None) -> Comparison:
        seen.append(incumbent)
        return Comparison(1.0 if probe_taken and len(seen) == 1 else -1.0, 0.0, 0.0)

    monkeypatch.setattr(rungs_module, "compare", decide)
    monkeypatch.setattr(rungs_module, "cross_fit", lambda *_: cross_fitted(given, 0.0))
    climb(given, LadderSettings(rungs), 0)
    return seen


def cross_fitted(given: Material, error: float) -> CrossFit:
    """Bodies that changed nothing, and are sure of every sample."""
    held_out = judge(np.eye(len(given.names))[given.labels], given.labels)
    setting = fit_frozen_head(given.shots.features, given.labels, given.names.features).chosen
    head = TunedHead(FoldHead(setting, held_out), np.zeros((len(given.labels), 2)))
    parts = given.shots.features, given.names.features, given.pool.features
    return CrossFit({}, *parts, head, head if len(given.pool) else None, [], error)


def test_upper_rungs_are_compared_with_the_probe_on_the_same_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with its leave-one-out evidence, for which it has seen more samples."""
    given = material()
    setting = fit_frozen_head(given.shots.features, given.labels, given.names.features).chosen
    of_probe, of_body = incumbents(given, ("probe", "body"), True, monkeypatch)
    np.testing.assert_array_equal(of_body.losses, probe_on_folds(given, setting).losses)
    given = material(pool=10)
    _, of_pool, of_body = incumbents(given, ("probe", "pool", "body"), True, monkeypatch)[:3]
    np.testing.assert_allclose(of_pool.losses, probe_on_folds(given, setting).losses, atol=0.02)
    assert of_body is of_pool
    assert not np.array_equal(of_probe.losses, of_body.losses)


def test_upper_rungs_are_compared_with_the_prototypes_where_these_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = incumbents(material(pool=10), ("probe", "pool", "body"), False, monkeypatch)
    assert len(seen) >= 3
    assert all(incumbent is seen[0] for incumbent in seen)


def test_a_body_whose_rotations_are_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = material()
    monkeypatch.setattr(rungs_module, "cross_fit", lambda *_: cross_fitted(given, 0.01))
    trace = climb(given, LadderSettings(("probe", "body"), body="oft"), 0).trace
    assert not trace[2].taken
    assert trace[2].reason == "rotations are off by 0.01, more than 1e-03"


def test_a_body_that_diverges_is_a_rung_that_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object) -> CrossFit:
        raise DivergedError("the body diverged")

    monkeypatch.setattr(rungs_module, "cross_fit", diverge)
    trace = climb(material(), LadderSettings(("probe", "body")), 0).trace
    assert (trace[2].taken, trace[2].reason) == (False, "the body diverged")


def test_where_the_pool_taught_the_body_is_left_to_self_training(monkeypatch: pytest.MonkeyPatch) -> None:
    given = material(8, 8, pool=60, spread=2.0)
    monkeypatch.setattr(rungs_module, "cross_fit", lambda *_: cross_fitted(given, 0.0))
    reasons = [rung.reason for rung in climb(given, LadderSettings(RUNGS), 0).trace[3:5]]
    assert reasons == ["the pool's labels tune the body further: see self-training", "needs the rung 'body'"]
    assert climb(given, LadderSettings((*FROZEN_RUNGS, "body")), 0).trace[3].log_loss is not None


def test_balanced_classes_count_alike_however_many_samples_they_have() -> None:
    features, labels = clusters(3, 24, 1, 2.0)
    kept = np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in enumerate((24, 6, 3))])
    given = with_shots(features[kept], labels[kept], 3)
    plain, balanced = (climb(given, LadderSettings(FROZEN_RUNGS[:2], class_weight=w), 0) for w in (None, "balanced"))
    fresh, truth = clusters(3, 200, 3, 2.0)
    recalls = [
        [(calibrated(reached, fresh)[truth == c].argmax(1) == c).mean() for c in range(3)] for reached in (plain, balanced)
    ]
    assert np.mean(recalls[1]) > np.mean(recalls[0])
    assert np.ptp(recalls[1]) < np.ptp(recalls[0])


def test_balancing_does_nothing_to_classes_of_equal_size() -> None:
    given = material()
    plain, balanced = (climb(given, LadderSettings(FROZEN_RUNGS, class_weight=w), 0) for w in (None, "balanced"))
    rows = given.pool.features if len(given.pool) else given.shots.features
    expected, found = (softmax(calibrated(reached, rows), axis=1) for reached in (plain, balanced))
    np.testing.assert_allclose(found, expected, atol=1e-9)
