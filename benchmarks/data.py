"""Read few-shot data sets from folders of JSON lines, and draw their splits and their query sets under label shift.

The shots of a fixed split come from a file. The shots of a resampled split are drawn from train.jsonl by a seed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Shift",
    "SplitRows",
    "available_shots",
    "class_name",
    "digest",
    "find_sets",
    "label_shifts",
    "load_split",
    "read_rows",
]

Labels = NDArray[np.int64]

CONCENTRATIONS = (2.0, 0.5)
"""Concentrations of the Dirichlet prior over class shares: 2 as in Veilleux et al. (2021), 0.5 for a harder shift."""
SHIFT_SEEDS = 3
SHIFT_ROWS = 1000
"""Number of rows in a shifted query set, but at most half of the test rows. With more rows, classes would run out of rows."""


@dataclass(frozen=True)
class Shift:
    """Query set whose class shares differ from those of the test set."""

    concentration: float
    seed: int
    rows: Labels  # indices of rows of the test set, without repeats


@dataclass(frozen=True)
class SplitRows:
    """Rows that one cell may see, and rows on which it is judged. Labels are indices into `classes`."""

    classes: list[str]
    texts: list[str]
    labels: Labels  # (n,)
    row_numbers: Labels  # (n,) lines of `source`
    source: str  # name of the file that the shots come from, without .jsonl
    unlabelled: list[str]  # the texts of train.jsonl that are not among the shots
    query: list[str]
    truth: Labels  # (queries,)
    out_of_scope: list[str]  # empty if the set has none
    shifts: list[Shift]


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """Read texts and labels.

    Raises:
        ValueError: a line is not {"text": string, "label": string}. The message names the line.
    """
    texts, labels = [], []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            text, label = row["text"], row["label"]
            if not isinstance(text, str) or not isinstance(label, str):
                raise TypeError("text and label must be strings")
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f'{path.name}, line {number}: expected {{"text", "label"}}, got {line[:80]!r} ({error})') from None
        texts.append(text)
        labels.append(label)
    return texts, labels


def find_sets(folder: Path, wanted: list[str] | None) -> list[str]:
    """Find the data sets, which are folders with a test.jsonl. Raise ValueError if a wanted set is missing."""
    found = sorted(path.parent.name for path in folder.glob("*/test.jsonl"))
    missing = sorted(set(wanted or []) - set(found))
    if missing or not found:
        raise ValueError(f"expected sets {missing or 'NAME/test.jsonl'} in {folder}, found {', '.join(found) or 'none'}")
    return wanted or found


def available_shots(folder: Path) -> list[int]:
    """Return the numbers of shots per class of the fixed splits, in ascending order."""
    return sorted(int(path.stem.removeprefix("train_")) for path in folder.glob("train_*.jsonl"))


def class_name(label: str) -> str:
    """Return a label with its underscores replaced by spaces."""
    return label.replace("_", " ")


def digest(folder: Path) -> str:
    """Return a sha256 digest of the set's files. If the data change, the digest changes."""
    parts = hashlib.sha256()
    for path in sorted(folder.glob("*.jsonl")):
        parts.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return parts.hexdigest()[:16]


def load_split(folder: Path, shots: int, split: str) -> SplitRows:
    """Load the shots of a split, the pool, the query rows, and the shifted query sets that are drawn from the query rows.

    Args:
        folder: the set's folder.
        shots: number of shots per class, K.
        split: `fixed` takes train_K.jsonl. `seed-N` draws K rows of each class from train.jsonl with the seed N. A class
            with fewer rows gives all its rows.

    Raises:
        ValueError: a class of test.jsonl has no shots.
    """
    query, truth = read_rows(folder / "test.jsonl")
    pool, pool_labels = read_rows(folder / "train.jsonl") if (folder / "train.jsonl").is_file() else ([], [])
    if split == "fixed":
        source = f"train_{shots}"
        texts, labels = read_rows(folder / f"{source}.jsonl")
        rows = np.arange(len(texts))
    else:
        source = "train"
        rows = _draw(pool_labels, shots, int(split.removeprefix("seed-")))
        texts, labels = [pool[i] for i in rows], [pool_labels[i] for i in rows]
    classes = sorted(set(labels))
    unknown = sorted(set(truth) - set(classes))
    if unknown:
        raise ValueError(f"{folder.name}: expected shots of every class of test.jsonl, none of {', '.join(unknown[:5])}")
    number = {label: i for i, label in enumerate(classes)}
    answers = np.array([number[label] for label in truth], np.int64)
    taken = set(texts)
    outside = folder / "oos_test.jsonl"
    return SplitRows(
        classes,
        texts,
        np.array([number[label] for label in labels], np.int64),
        rows,
        source,
        [text for text in pool if text not in taken],
        query,
        answers,
        read_rows(outside)[0] if outside.is_file() else [],
        label_shifts(answers),
    )


def label_shifts(truth: Labels) -> list[Shift]:
    """Draw query sets whose class shares come from a symmetric Dirichlet prior. Every method gets the same query sets.

    Rows of a class are drawn without replacement. A class that has too few rows gives all of them.
    """
    shifts = []
    classes, size = int(truth.max()) + 1, min(SHIFT_ROWS, len(truth) // 2)
    for concentration in CONCENTRATIONS:
        for seed in range(SHIFT_SEEDS):
            rng = np.random.default_rng([seed, int(10 * concentration)])
            counts = rng.multinomial(size, rng.dirichlet(np.full(classes, concentration)))  # (classes,)
            drawn = [rng.permutation(np.flatnonzero(truth == c))[: counts[c]] for c in range(classes)]
            shifts.append(Shift(concentration, seed, rng.permutation(np.concatenate(drawn))))
    return shifts


def _draw(labels: list[str], shots: int, seed: int) -> Labels:
    rng = np.random.default_rng(seed)
    column = np.array(labels)
    drawn = [rng.permutation(np.flatnonzero(column == label))[:shots] for label in sorted(set(labels))]
    return np.sort(np.concatenate(drawn))
