"""Paired comparison: the exact probabilities, and how often noise and real gains are taken for better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fsat_tasks.numerics.evidence.paired import compare_paired, paired_drop


def answers(gained: int, lost: int, both: int = 5, neither: int = 5) -> tuple[np.ndarray, np.ndarray]:
    new = np.repeat([True, False, True, False], [gained, lost, both, neither])
    old = np.repeat([False, True, True, False], [gained, lost, both, neither])
    return new, old


@given(st.integers(0, 40), st.integers(0, 40))
def test_p_is_that_of_the_sign_test(gained: int, lost: int) -> None:
    found = compare_paired(*answers(gained, lost))
    assert (found.gained, found.lost) == (gained, lost)
    if gained + lost:
        assert found.better_p == pytest.approx(binomtest(gained, gained + lost, alternative="greater").pvalue)
        assert found.worse_p == pytest.approx(binomtest(lost, gained + lost, alternative="greater").pvalue)


def test_rows_that_both_have_right_or_wrong_say_nothing() -> None:
    assert compare_paired(*answers(9, 2, 0, 0)) == compare_paired(*answers(9, 2, 500, 90))
    assert compare_paired(*answers(0, 0)).better_p == pytest.approx(1.0)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.2])
def test_champion_with_noise_is_better_in_at_most_five_per_cent_of_a_thousand_runs(share: float) -> None:
    """Noise turns a share of the 300 rows from right to wrong, and on average as many back."""
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(1000):
        draw = rng.random(300)
        old, new = draw >= share, (draw < share) | (draw >= 2 * share)
        taken += compare_paired(new, old).better_p <= 0.05
    assert taken <= 50
    assert share < 0.03 or taken > 15  # and the test is not merely deaf


def test_five_points_on_three_hundred_rows_are_seen_in_four_runs_of_five() -> None:
    """One row in ten is discordant here. With more discordant rows, the gain is seen less often."""
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(1000):
        draw = rng.random(300)
        old, new = draw >= 0.075, (draw < 0.075) | (draw >= 0.1)
        taken += compare_paired(new, old).better_p <= 0.05
    assert taken >= 800


def test_interval_of_a_drop_has_the_drop_in_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(300):
        draw = rng.random(200)
        before, after = draw >= 0.05, (draw < 0.05) | (draw >= 0.2)  # 15 % fall, 5 % rise
        drop, low, high = paired_drop(before, after, seed)
        assert low <= drop <= high
        inside += low <= 0.1 <= high
    assert 0.91 <= inside / 300 <= 0.98


def test_rows_that_stay_as_they_are_have_no_drop() -> None:
    right = np.array([True, False, True])
    assert paired_drop(right, right, 0) == (0.0, 0.0, 0.0)
