"""Batches hold every row once, within the budget, and no more padding than they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsat_tasks.encoders.batches import one_length_batches, padded_batches

Ids = NDArray[np.int64]
Batching = Callable[[Sequence[list[int]], int, int], Iterator[tuple[Ids, Ids, Ids]]]

PAD = 7  # an id that rows have too: only the mask tells padding from words
ROWS = st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=40)
BUDGETS = st.integers(1, 60)

both = pytest.mark.parametrize("batches", [padded_batches, one_length_batches])


@both
@given(rows=ROWS, tokens=BUDGETS)
def test_every_row_is_in_one_batch_with_its_own_ids_under_the_mask(batches: Batching, rows: list[list[int]], tokens: int) -> None:
    seen: list[int] = []
    for numbers, ids, mask in batches(rows, PAD, tokens):
        assert ids.dtype == mask.dtype == np.int64
        assert ids.shape == mask.shape
        assert len(ids) == len(numbers)
        seen += numbers.tolist()
        for number, row, kept in zip(numbers.tolist(), ids, mask, strict=True):
            own = rows[number]
            assert row.tolist() == own + [PAD] * (len(row) - len(own))
            assert kept.tolist() == [1] * len(own) + [0] * (len(row) - len(own))
    assert sorted(seen) == list(range(len(rows)))


@both
@given(rows=ROWS, tokens=BUDGETS)
def test_batch_has_at_most_the_budgets_tokens_unless_it_is_one_row(batches: Batching, rows: list[list[int]], tokens: int) -> None:
    for numbers, ids, _ in batches(rows, PAD, tokens):
        assert ids.size <= tokens or len(numbers) == 1


@both
@given(rows=ROWS, tokens=BUDGETS)
def test_batches_are_as_wide_as_their_longest_row_and_the_longest_come_first(
    batches: Batching, rows: list[list[int]], tokens: int
) -> None:
    widths = []
    for numbers, ids, _ in batches(rows, PAD, tokens):
        assert ids.shape[1] == max(1, *(len(rows[number]) for number in numbers))
        widths.append(ids.shape[1])
    assert widths == sorted(widths, reverse=True)


@given(rows=ROWS, tokens=BUDGETS)
def test_padded_batch_that_is_followed_by_another_has_no_room_for_one_more_row(rows: list[list[int]], tokens: int) -> None:
    made = list(padded_batches(rows, PAD, tokens))
    for numbers, ids, _ in made[:-1]:
        assert (len(numbers) + 1) * ids.shape[1] > tokens


@given(rows=ROWS, tokens=BUDGETS)
def test_one_length_batches_have_no_padding_and_only_the_last_of_a_length_has_room(rows: list[list[int]], tokens: int) -> None:
    made = list(one_length_batches(rows, PAD, tokens))
    for numbers, _, mask in made:
        (length,) = {len(rows[number]) for number in numbers}
        assert mask.sum() == length * len(numbers)
    for (some, ids, _), (others, _, _) in pairwise(made):
        if len(rows[some[0]]) == len(rows[others[0]]):
            assert (len(some) + 1) * ids.shape[1] > tokens


@both
def test_row_without_tokens_is_a_masked_one(batches: Batching) -> None:
    ((numbers, ids, mask),) = batches([[], []], PAD, 8)
    assert numbers.tolist() == [0, 1]
    assert ids.tolist() == [[PAD], [PAD]]
    assert mask.tolist() == [[0], [0]]


@both
def test_no_rows_make_no_batches(batches: Batching) -> None:
    assert list(batches([], PAD, 8)) == []
