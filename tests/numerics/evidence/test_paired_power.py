"""Power of the paired test: against simulated draws, and the rows that it asks for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fsat_tasks.numerics.evidence.paired_power import chance_to_see, rows_to_see


@pytest.mark.parametrize(("rows", "gained", "lost"), [(60, 0.1, 0.02), (300, 0.075, 0.025), (300, 0.1, 0.05), (40, 0.2, 0.0)])
def test_chance_is_that_of_simulated_draws(rows: int, gained: float, lost: float) -> None:
    drawn = np.random.default_rng(0).multinomial(rows, [gained, lost, 1 - gained - lost], 40_000)
    p = binom.sf(drawn[:, 0] - 1, drawn[:, 0] + drawn[:, 1], 0.5)
    assert chance_to_see(rows, gained, lost, 0.05) == pytest.approx((p <= 0.05).mean(), abs=0.01)


@given(st.floats(0.03, 0.3), st.floats(0.0, 0.6))
def test_rows_are_enough_and_a_tenth_less_is_not(gained: float, ratio: float) -> None:
    rows = rows_to_see(gained, ratio * gained, 0.05)
    assert rows is not None
    assert chance_to_see(rows, gained, ratio * gained, 0.05) >= 0.8
    assert chance_to_see(int(0.9 * rows) - 1, gained, ratio * gained, 0.05) < 0.8


def test_gain_that_needs_more_than_a_million_rows_has_no_number() -> None:
    assert rows_to_see(0.1, 0.0999, 0.05) is None
