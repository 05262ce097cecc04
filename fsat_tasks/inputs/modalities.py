"""The modalities that task.yaml can name under `inputs`, and how a task's rows are read from files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fsat_tasks.errors import InputError
from fsat_tasks.inputs.modality import Input, Modality, Place
from fsat_tasks.inputs.text import Texts

__all__ = ["MODALITIES", "RowFormat", "find_modality", "perturb"]

MODALITIES: dict[str, Modality] = {"text": Texts()}
"""Name in task.yaml -> modality."""


def find_modality(name: str) -> Modality:
    """Return the modality of this name. Raises InputError, which names the known ones, if there is none."""
    if name not in MODALITIES:
        raise InputError("inputs", f"one of {', '.join(sorted(MODALITIES))}", repr(name))
    return MODALITIES[name]


def perturb(modality: Modality, row: Input, kind: str, seed: int) -> Input:
    """Return the row with a change that keeps its meaning.

    Args:
        kind: kind of change, a key of the modality's `perturbations`.
        seed: seed of the change.
    """
    return modality.perturbations[kind](row, random.Random(seed))  # noqa: S311, no secret


@dataclass(frozen=True)
class RowFormat:
    """Settings with which rows are read from files.

    Args:
        modality: what a row is.
        text: name of the column that task.yaml has under `text`.
        longest: maximum number of characters of a cell.
    """

    modality: Modality
    text: str
    longest: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a row is read from."""
        return self.modality.columns(self.text)

    def read(self, file: str, line: int, cells: Sequence[object]) -> Input | None:
        """Return the row in these cells, or None if it is blank. Raises DataError if a cell is not valid."""
        return self.modality.read(cells, Place(file, line, self.columns), self.longest)
