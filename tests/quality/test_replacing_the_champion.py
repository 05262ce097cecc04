"""Rules by which a challenger replaces the champion: their tests against references, and how often they err."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, xlogy
from scipy.stats import norm

from fsat_tasks.numerics.evidence.paired import compare_paired, lower_loss_p, no_worse_p
from fsat_tasks.quality.comparison import compare_losses
from fsat_tasks.quality.opponent_gates import champion_gates, other_rules
from fsat_tasks.tasks.spec import GateSpec

CHAMPION: dict[str, Any] = {
    "version": 3,
    "rows": 60,
    "accuracy": 0.95,
    "accuracy_low": 0.88,
    "accuracy_high": 1.0,
    "gained": 0,
    "lost": 1,
    "p": 1.0,
    "worse_p": 0.5,
    "missing": [],
    "new_samples": True,
    "loss_rows": 60,
    "loss": 0.275,
    "challenger_loss": 0.221,
    "loss_p": 0.01,
}


def verdict(champion: dict[str, Any], **bounds: Any) -> tuple[bool, str]:
    (gate,) = champion_gates(0.933, champion, GateSpec(**bounds))
    return gate.promote, gate.reason


def test_a_model_that_is_no_better_is_told_which_rule_would_take_it() -> None:
    promote, reason = verdict(CHAMPION, margin=0.1)
    assert not promote
    assert reason.endswith(
        "It would replace the champion with gates.replace_if: surer or gates.replace_if: no_worse in task.yaml."
    )
    assert other_rules(CHAMPION, GateSpec(margin=0.1)) == ["surer", "no_worse"]
    assert other_rules(CHAMPION, GateSpec(replace_if="surer")) == [], "it passes"
    assert "It would" not in verdict({**CHAMPION, "loss_p": 0.2, "new_samples": False})[1]


def test_a_surer_model_replaces_the_champion_unless_it_is_worse() -> None:
    assert verdict(CHAMPION, replace_if="surer") == (
        True,
        "Surer beyond chance of the right answers than the champion, version 3: log-loss 0.221 against 0.275. Right answers: "
        "93.3 % against 95.0 % on the same 60 rows (0 rows gained, 1 lost).",
    )
    assert not verdict({**CHAMPION, "loss_p": 0.06}, replace_if="surer")[0]
    held, reason = verdict({**CHAMPION, "lost": 7, "worse_p": 0.008}, replace_if="surer")
    assert (held, reason.startswith("Worse than the champion, version 3")) == (False, True)


def test_without_losses_of_the_champion_only_right_answers_count() -> None:
    old = {name: value for name, value in CHAMPION.items() if "loss" not in name}
    assert verdict(old, replace_if="surer") == verdict(old)


def test_no_worse_needs_other_samples_and_rules_the_margin_out() -> None:
    promote, reason = verdict(CHAMPION, replace_if="no_worse", margin=0.1)
    assert promote
    assert reason.startswith("The samples have changed, and accuracy has surely not fallen by 10.0 points since the champion")
    assert not verdict(CHAMPION, replace_if="no_worse", margin=0.02)[0]
    same = {**CHAMPION, "new_samples": False}
    assert verdict(same, replace_if="no_worse", margin=0.1) == verdict(same, margin=0.1)


def test_the_test_of_losses_is_exact_on_few_rows() -> None:
    """Only one of the 8 ways to exchange the losses of three rows gives as low a mean."""
    assert lower_loss_p(np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.6, 0.8]), seed=0) == pytest.approx(1 / 8)
    found = compare_losses([(0.1, 0.4), (0.2, 0.6), (0.3, 0.8)], seed=0)
    assert (found["loss_rows"], found["challenger_loss"], found["loss"]) == (3, pytest.approx(0.2), pytest.approx(0.6))
    assert compare_losses([], seed=0) == {}


@pytest.mark.parametrize(
    ("gained", "lost", "rows", "margin"), [(0, 1, 60, 0.1), (9, 14, 300, 0.05), (0, 0, 40, 0.02), (30, 2, 50, 0.2)]
)
def test_the_score_test_is_the_likelihoods_at_the_margin(gained: int, lost: int, rows: int, margin: float) -> None:
    """The share of lost rows is found here by maximising the likelihood, with the share of gained rows less by the margin."""

    def unlikely(share: float) -> float:
        counts, shares = (lost, gained, rows - lost - gained), (share, share - margin, 1.0 - 2.0 * share + margin)
        return -float(sum(xlogy(count, max(part, 1e-300)) for count, part in zip(counts, shares, strict=True)))

    share = minimize_scalar(unlikely, bounds=(margin, (1.0 + margin) / 2.0), method="bounded", options={"xatol": 1e-12}).x
    z = (gained - lost + rows * margin) / np.sqrt(rows * (2.0 * share - margin - margin**2))
    assert no_worse_p(gained, lost, rows, margin) == pytest.approx(float(norm.sf(z)), rel=1e-4)


def test_a_margin_of_almost_nothing_is_mcnemars_test() -> None:
    assert no_worse_p(20, 8, 300, 1e-12) == pytest.approx(float(norm.sf(12 / np.sqrt(28))), rel=1e-6)


@pytest.fixture
def few_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of losses that are quick, and err as rarely: a permutation test keeps its level with any number of permutations."""
    monkeypatch.setattr("fsat_tasks.numerics.evidence.paired.PERMUTATIONS", 199)


def draw_losses(rows: int, draws: int, sharper: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Losses of two models, (draws, rows), whose expected loss is the same: the truth's logits with noise of the same size."""
    truth = rng.integers(0, 5, (draws, rows))
    logits = 3.0 * np.eye(5)[truth] + rng.normal(size=(draws, rows, 5))
    both = (log_softmax(sharper * (logits + rng.normal(size=logits.shape)), axis=-1) for _ in range(2))
    new, old = (-np.take_along_axis(each, truth[..., None], axis=-1)[..., 0] for each in both)
    return new, old


@pytest.mark.usefixtures("few_permutations")
@pytest.mark.parametrize(("rows", "sharper"), [(40, 1.0), (40, 3.0), (300, 1.0)])
def test_a_model_that_is_no_surer_replaces_the_champion_in_one_of_twenty_cases(rows: int, sharper: float) -> None:
    new, old = draw_losses(rows, 400, sharper, np.random.default_rng(rows))
    won = [lower_loss_p(one, other, seed) <= 0.05 for seed, (one, other) in enumerate(zip(new, old, strict=True))]
    assert np.mean(won) <= 0.05 + 2.0 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("rows", "dispute"), [(60, 0.15), (60, 0.3), (300, 0.08), (300, 0.2)])
def test_a_model_that_has_lost_the_margin_replaces_the_champion_in_one_of_twenty_cases(rows: int, dispute: float) -> None:
    rng, margin, draws = np.random.default_rng(rows), 0.05, 20_000
    counts = rng.multinomial(rows, [(dispute - margin) / 2, (dispute + margin) / 2, 1.0 - dispute], draws)
    pairs, times = np.unique(counts[:, :2], axis=0, return_counts=True)
    passed = sum(
        n for (gained, lost), n in zip(pairs.tolist(), times, strict=True) if no_worse_p(gained, lost, rows, margin) <= 0.05
    )
    assert passed / draws <= 0.055


def test_a_model_that_gives_the_same_answers_with_better_probabilities_is_surer() -> None:
    rng = np.random.default_rng(1)
    truth, at = rng.integers(0, 5, 60), np.arange(60)
    logits = 2.0 * np.eye(5)[truth] + rng.normal(size=(60, 5))
    new, old = (log_softmax(sharper * logits, axis=-1) for sharper in (2.0, 6.0))
    right = logits.argmax(axis=1) == truth
    assert compare_paired(right, right).better_p == 1.0
    assert lower_loss_p(-new[at, truth], -old[at, truth], seed=0) <= 0.05
    assert lower_loss_p(-old[at, truth], -new[at, truth], seed=0) > 0.95
