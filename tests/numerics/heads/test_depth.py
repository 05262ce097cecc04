"""The choice of a depth, and the rows on which settings are compared."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fsat_tasks.numerics.heads.depth import choose_depth, screen
from fsat_tasks.numerics.heads.frozen import SCREEN_ROWS

NOISE = np.array([0.1, -0.1] * 8)


@pytest.mark.parametrize("gain, chosen", [(-0.5, 1), (0.02, 1), (0.03, 3)])
def test_a_depth_is_taken_only_for_more_than_one_standard_error(gain: float, chosen: int) -> None:
    def losses(depth: int) -> NDArray[np.float64]:
        return 1.0 - gain + NOISE if depth == 3 else 1.0 + 2.0 * NOISE if depth > 1 else np.ones(16)

    assert choose_depth(7, 16, losses) == chosen  # the standard error is 0.1 / 4


def test_more_rows_than_are_compared_make_the_standard_error_smaller() -> None:
    assert choose_depth(3, 100, lambda depth: np.ones(16) if depth == 1 else 0.98 + NOISE) == 2


@pytest.mark.parametrize("layers", [1, 2])
def test_an_encoder_with_one_block_has_one_depth(layers: int) -> None:
    assert choose_depth(layers, 4, lambda depth: np.ones(4)) == 1


def test_few_rows_are_all_compared_and_many_are_drawn_without_repeats() -> None:
    assert screen(5).tolist() == [0, 1, 2, 3, 4]
    drawn = screen(5000)
    assert len(np.unique(drawn)) == len(drawn) == SCREEN_ROWS and (np.diff(drawn) > 0).all()
