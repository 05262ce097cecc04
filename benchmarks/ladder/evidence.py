"""Evidence of a draw: each rung's predictions for the shots and for the query, kept in a file on which rules can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ladder.tasks import JudgedRung, Task
from fsat_tasks.numerics.evidence.held_out import row_losses
from fsat_tasks.numerics.types import Array, Labels

__all__ = ["Evidence", "RungEvidence", "read_evidence", "write_evidence"]


@dataclass(frozen=True)
class RungEvidence:
    """Evidence of a rung on the shots, and its answers to the query."""

    name: str
    taken: bool
    reason: str
    held_out: Array  # (shots, classes), calibrated logits
    incumbent: Array  # (shots, classes), those of the incumbent that it was compared with; empty if there was none
    query: Array  # (queries, classes), calibrated logits
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """Evidence of all rungs of a draw."""

    number: int
    set: str
    pool: int
    labels: Labels  # (shots,)
    truth: Labels  # (queries,)
    rungs: tuple[RungEvidence, ...]

    @classmethod
    def of(cls, number: int, name: str, task: Task, rungs: Sequence[JudgedRung]) -> Evidence:
        """Return the evidence of a draw from the set with this name."""
        labels = task.material.labels
        kept = []
        for rung in rungs:
            trial, entry = rung.trial, rung.entry
            none = trial.held_out.logits[:0]
            incumbent = none if trial.incumbent is None else trial.incumbent.logits
            held_out = trial.held_out.logits
            kept.append(RungEvidence(entry.name, entry.taken, entry.reason, held_out, incumbent, rung.logits, entry.seconds))
        return cls(number, name, len(task.material.pool), labels, task.truth, tuple(kept))

    def accuracy(self, logits: Array) -> float:
        """Return the share of the query rows that these logits answer right."""
        return float((logits.argmax(axis=1) == self.truth).mean())

    def log_loss(self, logits: Array) -> float:
        """Return the mean log-loss of the query rows, in nats."""
        return float(row_losses(logits, self.truth).mean())


def write_evidence(folder: Path, evidence: Evidence) -> None:
    """Write the evidence of a draw as FOLDER/NUMBER.npz."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [{"name": one.name, "taken": one.taken, "reason": one.reason, "seconds": one.seconds} for one in evidence.rungs]
    about = {"number": evidence.number, "set": evidence.set, "pool": evidence.pool, "rungs": kept}
    arrays: dict[str, Any] = {"labels": evidence.labels, "truth": evidence.truth}
    for at, rung in enumerate(evidence.rungs):
        arrays |= {f"held_out_{at}": rung.held_out, f"incumbent_{at}": rung.incumbent, f"query_{at}": rung.query}
    path = folder / f"{evidence.number}.npz"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
    partial.rename(path)


def read_evidence(folder: Path, numbers: Iterable[int]) -> list[Evidence]:
    """Read the evidence of these draws, as far as it is there."""
    return [_read(path) for path in (folder / f"{number}.npz" for number in numbers) if path.is_file()]


def _read(path: Path) -> Evidence:
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        rungs = tuple(
            RungEvidence(**kept, held_out=file[f"held_out_{at}"], incumbent=file[f"incumbent_{at}"], query=file[f"query_{at}"])
            for at, kept in enumerate(about.pop("rungs"))
        )
        return Evidence(labels=file["labels"], truth=file["truth"], rungs=rungs, **about)
