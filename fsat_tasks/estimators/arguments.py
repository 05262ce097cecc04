"""Checks of the parameters of estimators. An error message names the parameter that is wrong."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from fsat_tasks.errors import DataError
from fsat_tasks.estimators.label_values import plain
from fsat_tasks.inputs.cells import read_texts
from fsat_tasks.numerics.evidence.conformal import too_few_samples
from fsat_tasks.tuning.state import LadderSettings

__all__ = ["read_count", "read_settings", "read_share", "warn", "warn_if_too_few"]

LARGEST_SEED = 2**32 - 1


def read_share(value: Any, where: str) -> float:
    """Return a share as a float. Raises DataError if the value is none."""
    return float(_require(value, where, Real, 1.0, "a share, 0 to 1"))


def read_count(value: Any, where: str) -> int:
    """Return a whole number of at least 1. Raises DataError if the value is none."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or value < 1:
        raise DataError(where, "a whole number, 1 or more", repr(plain(value)))
    return int(value)


def read_settings(parameters: Mapping[str, Any], known_rungs: Sequence[str]) -> LadderSettings:
    """Return the ladder's settings from an estimator's parameters.

    Args:
        parameters: name -> value. An estimator without classes has no `class_weight`.
        known_rungs: names of the rungs that the estimator may try.

    Raises:
        DataError: if a value is unknown or out of range.
    """
    rungs = known_rungs if parameters["rungs"] is None else read_texts(parameters["rungs"], "rungs")
    if not isinstance(parameters["encoder"], str | Path):
        raise DataError("encoder", "a name or a folder", repr(parameters["encoder"]))
    for rung in rungs:
        _require_one_of(rung, "rungs", known_rungs)
    _require_one_of(parameters["body"], "body", ("full", "lora", "oft"))
    _require_one_of(parameters["device"], "device", ("auto", "cpu", "cuda"))
    if not isinstance(parameters["verbose"], bool | np.bool_):
        raise DataError("verbose", "true or false", repr(plain(parameters["verbose"])))
    class_weight = parameters.get("class_weight")
    _require_one_of(class_weight, "class_weight", ("balanced", None))
    read_share(parameters["coverage"], "coverage")
    seconds = "a number of seconds, 0 or more"
    budget = _require(parameters["budget_seconds"], "budget_seconds", Real, sys.float_info.max, seconds)
    seed = _require(parameters["seed"], "seed", Integral, LARGEST_SEED, f"a whole number, 0 to {LARGEST_SEED}")
    return LadderSettings(
        rungs=tuple(rungs),
        budget_seconds=float(budget),
        fine_tuning=parameters["body"],
        class_weight=class_weight,
        seed=int(seed),
    )


def warn(message: str) -> None:
    """Warn the caller of the estimator's method that calls this function."""
    warnings.warn(message, UserWarning, stacklevel=3)


def warn_if_too_few(coverage: float, samples: int, what: str) -> None:
    """Warn the caller of the estimator's method if the samples are too few for a coverage, so that `what` has no limit."""
    if too_few := too_few_samples(coverage, samples):
        warnings.warn(f"{too_few}, so {what}", UserWarning, stacklevel=3)


def _require(value: Any, where: str, kind: Any, most: float, expected: str) -> Any:
    """Return the value. Raise DataError if it is not a number of this kind, from 0 to `most`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, kind) or not 0 <= value <= most:
        raise DataError(where, expected, repr(plain(value)))
    return value


def _require_one_of(value: Any, where: str, known: Sequence[str | None]) -> None:
    if not (value is None or isinstance(value, str)) or value not in known:
        raise DataError(where, f"one of {', '.join(map(str, known))}", repr(plain(value)))
