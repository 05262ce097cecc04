"""All methods by name, with the tracks on which each method runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.data import SplitRows
from benchmarks.fine_tuning import full_fine_tuning
from benchmarks.fsat_methods import fsat_frozen, fsat_ladder, fsat_literal
from benchmarks.outcome import Context, Outcome
from benchmarks.peers import k_nearest_neighbours, logistic_regression, nearest_prototype, setfit

__all__ = ["METHODS", "TRACKS", "Method"]

TRACKS = ("inductive", "semi-supervised", "transductive")


@dataclass(frozen=True)
class Method:
    run: Callable[[SplitRows, Context], Outcome]
    tracks: tuple[str, ...]
    shared_features: bool
    """True if the method reads the shared, cached features instead of texts."""


METHODS = {
    "fsat-frozen": Method(fsat_frozen, TRACKS, True),
    "fsat-ladder": Method(fsat_ladder, TRACKS, True),
    "fsat-literal": Method(fsat_literal, TRACKS, True),
    "logistic-regression": Method(logistic_regression, TRACKS[:1], True),
    "nearest-prototype": Method(nearest_prototype, TRACKS[:1], True),
    "knn": Method(k_nearest_neighbours, TRACKS[:1], True),
    "setfit": Method(setfit, TRACKS[:1], False),
    "full-fine-tuning": Method(full_fine_tuning, TRACKS[:1], False),
}
"""Name -> method. A method that cannot use unlabelled texts has only the inductive track."""
