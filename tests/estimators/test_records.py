"""Dataclasses become JSON and arrays, and come back equal; a value of another type is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from fsat_tasks.estimators.records import RecordError, pack, unpack
from fsat_tasks.numerics.types import Flags, Matrix


class Colour(Enum):
    RED = "r"
    BLUE = "b"


@dataclass(frozen=True)
class Inner:
    matrix: Matrix
    mask: Flags


@dataclass(frozen=True)
class Other:
    count: int


@dataclass(frozen=True)
class Outer:
    part: Inner | Other
    maybe: Inner | None
    colour: Colour
    share: float
    names: list[str]
    seconds: dict[str, float]
    anything: list[Any]


floats = st.floats(allow_nan=False)
inner = st.builds(
    Inner,
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=3, min_side=0), elements=floats),
    arrays(np.bool_, array_shapes(max_dims=1, max_side=5)),
)
outer = st.builds(
    Outer,
    st.one_of(inner, st.builds(Other, st.integers())),
    st.none() | inner,
    st.sampled_from(Colour),
    floats,
    st.lists(st.text()),
    st.dictionaries(st.text(), floats),
    st.lists(st.none() | st.booleans() | st.integers() | st.text()),
)


def packed(value: Any) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Return a value as it is read back from a file."""
    found: dict[str, NDArray[Any]] = {}
    return json.loads(json.dumps(pack(value, found), allow_nan=False)), found


@given(outer)
def test_a_dataclass_comes_back_equal(value: Outer) -> None:
    state, found = packed(value)
    again = unpack(Outer, state, found)
    assert found == {}
    (left, arrays_left), (right, arrays_right) = packed(again), packed(value)
    assert left == right
    assert arrays_left.keys() == arrays_right.keys()
    for name, array in arrays_left.items():
        np.testing.assert_array_equal(array, arrays_right[name], strict=True)
    assert (again.share, again.names, again.colour, again.seconds) == (value.share, value.names, value.colour, value.seconds)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_comes_back_in_its_order_of_memory(order: Any) -> None:
    matrix = np.asarray(np.arange(6.0).reshape(2, 3), order=order)
    state, found = packed(Inner(matrix, np.ones(1, bool)))
    again = unpack(Inner, state, {name: np.ascontiguousarray(array) for name, array in found.items()})
    assert (again.matrix.flags.c_contiguous, again.matrix.flags.f_contiguous) == (order == "C", order == "F")
    np.testing.assert_array_equal(again.matrix, matrix)


GOOD = Outer(Other(1), None, Colour.RED, 0.5, ["a"], {"b": 1.0}, [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"part": {"is": "Outer", "count": 1}}, "state.part is of no type that is known there"),
        ({"part": {"is": "Other", "count": True}}, "state.part.count is no int"),
        ({"part": {"is": "Inner", "matrix": "array", "mask": "array"}}, "is no array"),
        ({"maybe": 3}, "state.maybe is of no type"),
        ({"colour": "GREEN"}, "state.colour is no Colour"),
        ({"share": True}, "state.share is no number"),
        ({"share": "much"}, "state.share is no number"),
        ({"names": "ab"}, "state.names is no list"),
        ({"names": [1]}, "state.names.0 is no str"),
        ({"seconds": []}, "state.seconds is no dict"),
        ({"more": 1}, "state is no Outer"),
        ({"is": "Inner"}, "state is no Outer"),
    ],
)
def test_a_value_of_another_type_is_refused(change: dict[str, Any], said: str) -> None:
    state, found = packed(GOOD)
    with pytest.raises(RecordError, match=said):
        unpack(Outer, state | change, found)
