"""Refit of the rung that was taken, on more samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.tuning.ladder import FROZEN_RUNGS, run_ladder
from fsat_tasks.tuning.refit import refit_rung
from fsat_tasks.tuning.state import LadderSettings
from fsat_tasks.tuning.trial import Fit, HeadKind
from tuning.clusters import always, clusters, cross_fitted, ladder_with, material


def fit_of(*rungs: str, pool: int = 0) -> Fit:
    """Return the model of the last of the rungs, whatever its evidence."""
    given = material(pool=pool, spread=1.0)
    return run_ladder(given, LadderSettings(rungs=rungs), ladder_with(lambda _: cross_fitted(given)), always(True))


LABELS = material().labels


@pytest.mark.parametrize("rungs", [(), ("probe",)])
def test_the_same_samples_give_the_same_model(rungs: tuple[str, ...]) -> None:
    fit = fit_of(*rungs)
    again = refit_rung(fit, fit.shots, OneLabel(LABELS, 5), fit.anchors)
    rows = mix_layers(fit.shots, fit.layers)
    np.testing.assert_allclose(again.head.logits(rows), fit.head.logits(rows), atol=0.02)
    assert again.held_out.log_loss == pytest.approx(fit.held_out.log_loss, abs=0.001)
    assert again.trace == fit.trace


@pytest.mark.parametrize(
    ("rungs", "pool", "kind"),
    [
        ((), 0, HeadKind.PROTOTYPES),
        (("probe",), 0, HeadKind.PROBE),
        (FROZEN_RUNGS, 2, HeadKind.TAUGHT),
        (("probe", "body"), 0, HeadKind.PROBE),
    ],
)
def test_a_new_class_is_learnt_by_the_head_of_each_rung(rungs: tuple[str, ...], pool: int, kind: HeadKind) -> None:
    fit = fit_of(*rungs, pool=pool)
    assert fit.kind is kind
    features, labels = clusters(6, 4, 5, 1.0)
    new = features[labels == 5].astype(np.float32)
    anchors = np.concatenate([fit.anchors, clusters(6, 1, 99, 3.0)[0][5:].astype(np.float32)])
    again = refit_rung(fit, np.concatenate([fit.shots, new]), OneLabel(np.concatenate([LABELS, np.full(4, 5)]), 6), anchors)
    assert again.held_out.logits.shape == (24, 6)
    fresh, truth = clusters(6, 30, 6, 1.0)
    found = again.head.logits(mix_layers(fresh, again.layers)).argmax(axis=1)
    assert (found[truth == 5] == 5).mean() > 0.7
    assert (again.setting, again.kind) == (fit.setting, fit.kind)


@pytest.mark.parametrize(("rungs", "pool"), [(FROZEN_RUNGS, 10), (("probe", "body"), 0)])
def test_samples_that_taught_pool_or_encoder_keep_their_evidence(rungs: tuple[str, ...], pool: int) -> None:
    fit = fit_of(*rungs, pool=pool)
    more = np.concatenate([fit.shots, fit.shots[:2] + 0.1])
    again = refit_rung(fit, more, OneLabel(np.concatenate([LABELS, LABELS[:2]]), 5), fit.anchors)
    np.testing.assert_array_equal(again.held_out.logits[:20], fit.held_out.logits)
    assert again.held_out.temperature == fit.held_out.temperature
    assert again.weights is fit.weights


def test_a_pool_row_that_got_its_label_leaves_the_pool() -> None:
    fit = fit_of(*FROZEN_RUNGS, pool=10)
    labelled = fit.pool[[3, 8]]
    again = refit_rung(fit, np.concatenate([fit.shots, labelled]), OneLabel(np.concatenate([LABELS, [0, 0]]), 5), fit.anchors)
    np.testing.assert_array_equal(again.pool, np.delete(fit.pool, [3, 8], axis=0))
    alone = refit_rung(
        replace(fit, pool=labelled),
        np.concatenate([fit.shots, labelled]),
        OneLabel(np.concatenate([LABELS, [0, 0]]), 5),
        fit.anchors,
    )
    assert len(alone.pool) == 0
    assert alone.kind is HeadKind.TAUGHT
