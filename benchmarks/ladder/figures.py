"""Figures of the ladder's rule: how often a rung helped, did nothing or harmed, and the regret of the final model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ladder.evidence import Evidence
from fsat_tasks.tuning.ladder import FROZEN_RUNGS, RUNGS

__all__ = ["figures"]

POINT = 0.01 + 1e-9
"""Difference in accuracy above which a rung helps or harms. Exactly one point does not count, whatever the rounding."""


def figures(found: Sequence[Evidence]) -> dict[str, Any]:
    """Return the figures of each rung and of the final model, and one row for each draw."""
    rows = [_row(evidence) for evidence in found]
    return {"rungs": {name: _rung(rows, name) for name in RUNGS}, "final": _final(rows), "draws": rows}


def _row(evidence: Evidence) -> dict[str, Any]:
    rungs = {
        rung.name: {
            "taken": rung.taken,
            "accuracy": evidence.accuracy(rung.query),
            "log_loss": evidence.log_loss(rung.query),
            "seconds": rung.seconds,
        }
        for rung in evidence.rungs
    }
    size = {"classes": evidence.rungs[0].query.shape[1], "shots": len(evidence.labels), "pool": evidence.pool}
    return {"number": evidence.number, "set": evidence.set, **size, "queries": len(evidence.truth), "rungs": rungs}


def _rung(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return what became of the draws in which the rung was taken, beside the best rung before it."""
    tried = [row["rungs"] for row in rows if name in row["rungs"]]
    gains = [_gain(rungs, name) for rungs in tried if rungs[name]["taken"] and not _is_first(rungs, name)]
    missed = [_gain(rungs, name) for rungs in tried if not rungs[name]["taken"]]
    return {"tried": len(tried), "taken": _counts(gains), "refused": _counts(missed)}


def _is_first(rungs: dict[str, Any], name: str) -> bool:
    return next(iter(rungs)) == name


def _gain(rungs: dict[str, Any], name: str) -> float:
    """Return the rung's accuracy less the highest accuracy of the rungs before it."""
    before = list(rungs)[: list(rungs).index(name)]
    return float(rungs[name]["accuracy"] - max(rungs[one]["accuracy"] for one in before))


def _counts(gains: Sequence[float]) -> dict[str, Any]:
    values = np.array(gains)
    return {
        "draws": len(values),
        "helped": int((values > POINT).sum()),
        "harmed": int((values < -POINT).sum()),
        "mean": float(values.mean()) if len(values) else 0.0,
    }


def _final(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return regret and harm of the last rung taken, and of the last frozen one."""
    taken = [[name for name, rung in row["rungs"].items() if rung["taken"]] for row in rows]
    last = [names[-1] for names in taken]
    frozen = [[name for name in names if name in FROZEN_RUNGS][-1] for names in taken]
    return {"ladder": _chosen(rows, last), "frozen": _chosen(rows, frozen)}


def _chosen(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    accuracies = np.array([row["rungs"][name]["accuracy"] for row, name in zip(rows, names, strict=True)])
    best = np.array([max(rung["accuracy"] for rung in row["rungs"].values()) for row in rows])
    gains = [0.0 if _is_first(row["rungs"], name) else _gain(row["rungs"], name) for row, name in zip(rows, names, strict=True)]
    losses = [row["rungs"][name]["log_loss"] for row, name in zip(rows, names, strict=True)]
    return {
        "accuracy": float(accuracies.mean()),
        "log_loss": float(np.mean(losses)),
        "regret": float((best - accuracies).mean()),
        "harmed": float((np.array(gains) < -POINT).mean()),
    }
