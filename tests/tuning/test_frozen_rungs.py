"""Each rung on the pretrained encoder, alone: its trial, the state for the next rung, and reasons to skip it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.heads.pool_taught import FOLDS, hold_out, prepare
from fsat_tasks.tuning.frozen_rungs import PROBE, PROBE_PRIOR, PROTOTYPES, try_pool, try_probe, try_prototypes
from fsat_tasks.tuning.ladder import LADDER
from fsat_tasks.tuning.material import Material, Pool
from fsat_tasks.tuning.state import Incumbent, LadderSettings, Setup, State
from fsat_tasks.tuning.trial import HeadKind, Skipped, Trial, fit_head
from tuning.clusters import clusters, material, with_shots


def setup_of(given: Material, rungs: tuple[str, ...] = ("prototypes", "probe", "pool")) -> Setup:
    return Setup(given, LadderSettings(), [rung for rung in LADDER if rung.name in rungs])


def tried(result: Trial | Skipped) -> Trial:
    assert isinstance(result, Trial)
    return result


def test_prototypes_are_compared_with_nothing_where_they_are_first() -> None:
    setup, state = setup_of(material()), State(240.0)
    trial, after = try_prototypes(setup, state)
    assert trial.incumbent is None
    assert after is state
    fit = trial.fit()
    assert (fit.kind, fit.layers, fit.weights, len(fit.pool)) == (HeadKind.PROTOTYPES, 1, None, 0)
    assert fit.held_out is trial.held_out


def test_the_probe_is_compared_with_the_incumbent_and_its_evidence_is_provisional() -> None:
    setup = setup_of(material())
    incumbent, _ = try_prototypes(setup, State(240.0))
    trial, _ = try_probe(setup, State(240.0, Incumbent(PROTOTYPES, incumbent.held_out)))
    assert trial.incumbent is incumbent.held_out
    assert trial.prior is PROBE_PRIOR
    assert trial.provisional and not incumbent.provisional
    fit = trial.fit()
    assert fit.kind is HeadKind.PROBE
    assert fit.layers == setup.probe.chosen.layers


def test_the_pool_judges_the_probe_again_by_its_own_folds() -> None:
    given = material(pool=10)
    setup = setup_of(given)
    probe, _ = try_probe(setup, State(240.0))
    result, after = try_pool(setup, State(240.0, Incumbent(PROBE, probe.held_out, provisional=True)))
    assert setup.pool is not None
    teaching = prepare(
        given.shots.features,
        OneLabel(given.labels, len(given.anchors)),
        given.anchors.features,
        setup.pool.directions,
        setup.probe.chosen,
    )
    evidence = hold_out(teaching)
    incumbent = tried(result).incumbent
    assert incumbent is not None
    np.testing.assert_array_equal(incumbent.losses, evidence.probe.losses)
    assert after.incumbent == Incumbent(PROBE, incumbent)
    np.testing.assert_array_equal(tried(result).held_out.losses, evidence.taught.losses)


def test_the_pool_leaves_other_incumbents_as_they_are() -> None:
    setup = setup_of(material(pool=10))
    prototypes, _ = try_prototypes(setup, State(240.0))
    state = State(240.0, Incumbent(PROTOTYPES, prototypes.held_out))
    result, after = try_pool(setup, state)
    assert tried(result).incumbent is prototypes.held_out
    assert after.incumbent is state.incumbent


def test_the_pool_leaves_soft_labels_of_each_fold_to_the_next_rung() -> None:
    given = material(pool=10)
    setup = setup_of(given)
    result, after = try_pool(setup, State(240.0))
    assert setup.pool is not None and after.teacher is not None
    assert after.teacher.log_loss == tried(result).held_out.log_loss
    assert len(after.teacher.soft_labels) == FOLDS
    for rows, soft in zip(setup.pool.folds, after.teacher.soft_labels, strict=True):
        assert soft.shape == (len(rows), len(given.anchors))
        np.testing.assert_allclose(soft.sum(axis=1), 1.0)


def test_a_head_that_the_pool_taught_keeps_the_evidence_of_its_folds() -> None:
    given = material(4, 5, pool=20)
    result, _ = try_pool(setup_of(given), State(240.0))
    fit = tried(result).fit()
    assert fit.kind is HeadKind.TAUGHT
    assert fit.held_out is tried(result).held_out
    assert len(fit.pool) == len(given.pool)
    again = fit_head(fit.shots, given.answers, fit.anchors, fit.pool, fit.setting, fit.share)
    rows = mix_layers(fit.shots, fit.layers)
    np.testing.assert_allclose(again.logits(rows), fit.head.logits(rows), atol=1e-6)


@pytest.mark.parametrize("copies", [False, True])
def test_a_pool_without_a_new_row_is_none(copies: bool) -> None:
    given = material()
    if copies:
        given = replace(given, pool=Pool(given.shots))
    state = State(240.0)
    assert try_pool(setup_of(given), state) == (Skipped("There are no unlabelled rows besides the samples."), state)


@pytest.mark.parametrize("labels", [[0], [0, 1], [0, 0], [1, 0, 2]])
def test_fewer_samples_than_folds_are_not_taught_by_the_pool(labels: list[int]) -> None:
    features = clusters(3, 1, 1, 0.5)[0][labels]
    given = with_shots(features + 0.1 * np.arange(len(labels))[:, None, None], np.array(labels), 3)
    result, _ = try_pool(setup_of(given), State(240.0))
    assert result == Skipped("There are fewer samples than the 4 groups that would be left out in turn.")


def test_no_pool_is_looked_at_where_no_rung_asks_for_it() -> None:
    assert setup_of(material(pool=10), ("prototypes", "probe", "body")).pool is None
    assert setup_of(material(pool=10), ("prototypes", "body-pool")).pool is not None
