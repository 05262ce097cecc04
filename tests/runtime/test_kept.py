"""Objects that a process keeps open: the last value of each kind, by the key that it was made for."""

from __future__ import annotations

import gc
import weakref

import pytest

from fsat_tasks.runtime.kept import Kept


class Value:
    """Something large."""


def test_a_value_is_made_once_for_a_key_and_again_for_another() -> None:
    kept = Kept()
    first = kept.get("pool", "a", Value)
    assert kept.get("pool", "a", Value) is first
    other = kept.get("pool", "b", Value)
    assert other is not first
    assert kept.get("pool", "b", Value) is other
    assert kept.get("pool", "a", Value) is not first  # one value of a kind is kept


def test_kinds_do_not_disturb_each_other() -> None:
    kept = Kept()
    pool, graph = kept.get("pool", 1, Value), kept.get("graph", 1, Value)
    assert (kept.get("pool", 1, Value), kept.get("graph", 1, Value)) == (pool, graph)


def test_the_old_value_is_free_before_the_next_one_is_made() -> None:
    kept = Kept()
    old = weakref.ref(kept.get("pool", "a", Value))

    def make() -> Value:
        gc.collect()
        assert old() is None
        return Value()

    kept.get("pool", "b", make)


def test_a_value_that_cannot_be_made_leaves_none() -> None:
    kept = Kept()
    kept.get("pool", "a", Value)
    with pytest.raises(ZeroDivisionError):
        kept.get("pool", "b", lambda: 1 / 0)
    assert isinstance(kept.get("pool", "a", Value), Value)
