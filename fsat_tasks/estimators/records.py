"""Dataclasses as JSON values and arrays, and back. What is read is checked against the types of the dataclass's fields.

The type of an array is Annotated with its number of dimensions, such as `Matrix` of `numerics/types.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from fsat_tasks.models.head import finite

__all__ = ["Arrays", "RecordError", "pack", "unpack"]

Arrays = dict[str, NDArray[Any]]
"""Path of a field, such as `state.head.weight` -> its array."""
AS_IT_IS, TRANSPOSED = "array", "transposed array"
"""Values that stand in the JSON for an array. An array that lies in memory by columns is written transposed, so that it comes
back in the same order. Otherwise, products with it could differ in the last bit."""
TYPE = "is"
"""Key that has the name of a dataclass."""


class RecordError(ValueError):
    """A value is not of the type that the dataclass's field has."""


def pack(value: Any, arrays: Arrays, path: str = "state") -> Any:
    """Return a value as JSON. Its arrays are added to `arrays`.

    Args:
        value: a dataclass, an Enum, an array, a list, a dict with text as keys, text, a number, a boolean or None.
        arrays: arrays by their paths.
        path: path of the value.
    """
    if is_dataclass(value):
        parts = {field.name: pack(getattr(value, field.name), arrays, f"{path}.{field.name}") for field in fields(value)}
        return {TYPE: type(value).__name__, **parts}
    if isinstance(value, np.ndarray):
        by_columns = value.flags.f_contiguous and not value.flags.c_contiguous
        arrays[path] = np.ascontiguousarray(value.T if by_columns else value)
        return TRANSPOSED if by_columns else AS_IT_IS
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, np.generic):
        return pack(value.item(), arrays, path)
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, list | tuple):
        return [pack(one, arrays, f"{path}.{at}") for at, one in enumerate(value)]
    if isinstance(value, dict):
        return {name: pack(one, arrays, f"{path}.{name}") for name, one in value.items()}
    return value


def unpack(kind: Any, value: Any, arrays: Arrays, path: str = "state") -> Any:
    """Return what `pack` was given. Arrays are taken out of `arrays`.

    Args:
        kind: type of the value.
        value: JSON value.
        arrays: arrays by their paths.
        path: path of the value.

    Raises:
        RecordError: if the value is of another type.
    """
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        return unpack(_option(get_args(kind), value, path), value, arrays, path)
    if is_dataclass(kind):
        return _dataclass(kind, value, arrays, path)
    if origin is Annotated:
        array, dimensions = get_args(kind)
        return _array(array, dimensions, value, arrays, path)
    if origin in (list, Sequence):
        one = get_args(kind)[0]
        return [unpack(one, row, arrays, f"{path}.{at}") for at, row in enumerate(_require(value, list, path))]
    if origin is dict:
        one = get_args(kind)[1]
        return {name: unpack(one, row, arrays, f"{path}.{name}") for name, row in _require(value, dict, path).items()}
    if issubclass(kind, Enum):
        if value not in kind.__members__:
            raise RecordError(f"{path} is no {kind.__name__}")
        return kind[value]
    if kind is float:
        return _float(value, path)
    return _require(value, kind, path)


def _option(options: Sequence[Any], value: Any, path: str) -> Any:
    """Return the type among the options that a value says it has."""
    named = value.get(TYPE) if isinstance(value, dict) else None
    for option in options:
        if option is NoneType:
            fits = value is None
        elif isinstance(option, type) and is_dataclass(option):
            fits = option.__name__ == named
        else:
            fits = value is not None
        if fits:
            return option
    raise RecordError(f"{path} is of no type that is known there")


def _dataclass(kind: Any, value: Any, arrays: Arrays, path: str) -> Any:
    names = {field.name for field in fields(kind)}
    if set(_require(value, dict, path)) != {TYPE, *names} or value[TYPE] != kind.__name__:
        raise RecordError(f"{path} is no {kind.__name__}")
    kinds = get_type_hints(kind, include_extras=True)
    return kind(**{name: unpack(kinds[name], value[name], arrays, f"{path}.{name}") for name in sorted(names)})


def _array(kind: Any, dimensions: int, value: Any, arrays: Arrays, path: str) -> NDArray[Any]:
    (scalar,) = get_args(get_args(kind)[1])
    array = arrays.pop(path, None)
    if value not in (AS_IT_IS, TRANSPOSED) or array is None or not np.issubdtype(array.dtype, scalar):
        raise RecordError(f"{path} is no array of {scalar.__name__}")
    if array.ndim != dimensions:
        raise RecordError(f"{path} has {array.ndim} dimensions, not {dimensions}")
    return array.T if value == TRANSPOSED else array


def _float(value: Any, path: str) -> float:
    if isinstance(value, bool) or not (isinstance(value, int | float) or value in ("inf", "-inf", "nan")):
        raise RecordError(f"{path} is no number")
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers of any size
        raise RecordError(f"{path} is too large a number") from None


def _require(value: Any, kind: type, path: str) -> Any:
    if type(value) is not kind:
        raise RecordError(f"{path} is no {kind.__name__}")
    return value
