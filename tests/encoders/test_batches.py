"""Batches hold every row once, within the budget, and no more padding than they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.encoders.prepare import Batch, Prepared, one_size_batches, pack_rows, padded_batches, unpack_rows
from fsat_tasks.encoders.text_preparer import prepare_ids

Batching = Callable[[Sequence[Prepared], int], Iterator[Batch]]

ROWS = st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=40)
BUDGETS = st.integers(1, 60)

both = pytest.mark.parametrize("batches", [padded_batches, one_size_batches])


def prepare(rows: list[list[int]]) -> list[Prepared]:
    return [prepare_ids(ids) for ids in rows]


@both
@given(rows=ROWS, budget=BUDGETS)
def test_every_row_is_in_one_batch_with_its_own_ids_under_the_mask(batches: Batching, rows: list[list[int]], budget: int) -> None:
    seen: list[int] = []
    for numbers, feed, size in batches(prepare(rows), budget):
        ids, mask = feed["input_ids"], feed["attention_mask"]
        assert ids.dtype == mask.dtype == np.int64
        assert ids.shape == mask.shape == (len(numbers), size)
        seen += numbers.tolist()
        for number, row, kept in zip(numbers.tolist(), ids, mask, strict=True):
            own = rows[number]
            assert row.tolist() == own + [0] * (len(row) - len(own))
            assert kept.tolist() == [1] * len(own) + [0] * (len(row) - len(own))
    assert sorted(seen) == list(range(len(rows)))


@both
@given(rows=ROWS, budget=BUDGETS)
def test_batch_is_within_the_budget_unless_it_is_one_row(batches: Batching, rows: list[list[int]], budget: int) -> None:
    for numbers, _, size in batches(prepare(rows), budget):
        assert len(numbers) * size <= budget or len(numbers) == 1


@both
@given(rows=ROWS, budget=BUDGETS)
def test_batches_are_as_wide_as_their_longest_row_and_the_longest_come_first(
    batches: Batching, rows: list[list[int]], budget: int
) -> None:
    sizes = []
    for numbers, _, size in batches(prepare(rows), budget):
        assert size == max(1, *(len(rows[number]) for number in numbers))
        sizes.append(size)
    assert sizes == sorted(sizes, reverse=True)


@given(rows=ROWS, budget=BUDGETS)
def test_padded_batch_that_is_followed_by_another_has_no_room_for_one_more_row(rows: list[list[int]], budget: int) -> None:
    made = list(padded_batches(prepare(rows), budget))
    for numbers, _, size in made[:-1]:
        assert (len(numbers) + 1) * size > budget


@given(rows=ROWS, budget=BUDGETS)
def test_one_size_batches_have_no_padding_and_only_the_last_of_a_size_has_room(rows: list[list[int]], budget: int) -> None:
    made = list(one_size_batches(prepare(rows), budget))
    for numbers, feed, _ in made:
        (length,) = {len(rows[number]) for number in numbers}
        assert feed["attention_mask"].sum() == length * len(numbers)
    for (some, _, size), (others, _, _) in pairwise(made):
        if len(rows[some[0]]) == len(rows[others[0]]):
            assert (len(some) + 1) * size > budget


@both
def test_row_without_tokens_is_a_masked_one(batches: Batching) -> None:
    ((numbers, feed, _),) = batches(prepare([[], []]), 8)
    assert numbers.tolist() == [0, 1]
    assert feed["input_ids"].tolist() == feed["attention_mask"].tolist() == [[0], [0]]


@both
def test_no_rows_make_no_batches(batches: Batching) -> None:
    assert list(batches([], 8)) == []


@given(rows=ROWS.filter(bool))
def test_rows_come_back_from_their_plain_arrays(rows: list[list[int]]) -> None:
    pictures = [Prepared({"pixels": np.full((2, 3, 3), i, np.float32)}, 4) for i in range(3)]
    for some in (prepare(rows), pictures):
        again = unpack_rows(pack_rows(some))
        assert [row.size for row in again] == [row.size for row in some]
        for row, other in zip(again, some, strict=True):
            assert row.arrays.keys() == other.arrays.keys()
            for name, array in row.arrays.items():
                assert array.dtype == other.arrays[name].dtype
                np.testing.assert_array_equal(array, other.arrays[name])
