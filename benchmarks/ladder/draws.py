"""Small tasks drawn from train.jsonl of public sets. No row of a test set takes part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import read_rows

__all__ = ["SETS", "Draw", "SetRows", "draw", "read_set", "set_of"]

SETS = ("banking77", "clinc150", "trec", "banking77", "clinc150", "fashion", "banking77", "clinc150", "trec", "sst2")
"""Sets of the draws 0, 1, 2, ..., over and over."""
CLASSES, SHOTS, POOL = (5, 20), (3, 10), (100, 2000)
"""Least and greatest numbers of classes, shots a class and pool rows."""
QUERY = 400
"""Greatest number of rows that a task is judged on."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SetRows:
    """Rows of a set's train.jsonl."""

    path: Path
    texts: list[str]
    classes: list[str]
    labels: Rows  # (n,), indices into `classes`


@dataclass(frozen=True)
class Draw:
    """One small task: rows of a set's train.jsonl, by their numbers."""

    number: int
    classes: Rows  # numbers of the classes, in ascending order
    shots: Rows
    pool: Rows
    query: Rows


def read_set(folder: Path) -> SetRows:
    """Read the texts and labels of a set; a text that is there twice is drawn once at most."""
    path = folder / "train.jsonl"
    texts, names = read_rows(path)
    classes = sorted(set(names))
    return SetRows(path, texts, classes, np.array([classes.index(name) for name in names], np.int64))


def draw(number: int, rows: SetRows) -> Draw:
    """Draw a task by its number. Pool and query have the same classes as the shots, in the set's own shares.

    At least half of the rows that are no shots are left to the query.
    """
    rng = np.random.default_rng(number)
    count = min(int(rng.integers(CLASSES[0], CLASSES[1] + 1)), len(rows.classes))
    classes = np.sort(rng.choice(len(rows.classes), count, replace=False))
    shots_a_class = int(rng.integers(SHOTS[0], SHOTS[1] + 1))
    pool_size = round(float(np.exp(rng.uniform(*np.log(POOL)))))
    once = np.unique(np.array(rows.texts), return_index=True)[1]
    members = [rng.permutation(once[rows.labels[once] == one]) for one in classes]
    shots = np.concatenate([part[:shots_a_class] for part in members])
    rest = rng.permutation(np.concatenate([part[shots_a_class:] for part in members]))
    pool, query = np.split(rest, [min(pool_size, len(rest) // 2)])
    return Draw(number, classes, shots, pool, query[:QUERY])


def set_of(number: int, sets: Sequence[str] = SETS) -> str:
    """Return the name of the set that a draw is taken from."""
    return sets[number % len(sets)]
