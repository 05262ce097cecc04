"""Gates that hold no model, for runs that are about something else than quality."""

from __future__ import annotations

__all__ = ["OPEN_GATES"]

OPEN_GATES: dict[str, float] = {
    "min_accuracy": 0.0,
    "min_macro_f1": 0.0,
    "min_class_recall": 0.0,
    "max_ece": 1.0,
    "min_coverage": 0.0,
    "max_latency_ms": 1e6,
    "min_rows_per_second": 0.0,
}
"""`gates` of a task.yaml, without those that compare a model with another one."""
