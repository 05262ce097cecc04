"""Measure how long an exported model takes on this machine, for single texts and for a batch."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.served import ServedModel

__all__ = ["measure_latency"]

WARM_UP, SINGLES, BATCHES = 3, 40, 2
BATCH = 32


def measure_latency(model: ServedModel, inputs: Sequence[Input]) -> dict[str, float]:
    """Measure the latency of single rows and the throughput of batches of 32, both with the preparation of the rows.

    Args:
        model: the exported model.
        inputs: rows to run, at least one. They are used in turn.

    Returns:
        `p50_ms` and `p95_ms`, the median and the 95th percentile of the latency in ms, and `rows_per_second`.
    """
    import numpy as np

    for number in range(WARM_UP):
        model.run([inputs[number % len(inputs)]])
    single = [_seconds(model, [inputs[number % len(inputs)]]) for number in range(SINGLES)]
    batch = [inputs[number % len(inputs)] for number in range(BATCH)]
    fastest = min(_seconds(model, batch) for _ in range(BATCHES))
    p50, p95 = np.percentile(single, [50, 95])
    return {
        "p50_ms": round(1000 * float(p50), 2),
        "p95_ms": round(1000 * float(p95), 2),
        "rows_per_second": round(BATCH / fastest, 1),
    }


def _seconds(model: ServedModel, inputs: list[Input]) -> float:
    started = time.perf_counter()
    model.run(inputs)
    return time.perf_counter() - started
