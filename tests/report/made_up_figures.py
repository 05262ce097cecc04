"""Figures of a run that was never made, for a report that has everything."""

from __future__ import annotations

EXTRA_METRICS = {
    "baseline": {
        "accuracy": 0.6,
        "accuracy_low": 0.55,
        "accuracy_high": 0.65,
        "gained": 31,
        "lost": 9,
        "p": 0.0003,
        "worse_p": 0.9999,
    },
    "robustness": {
        "rows": 400,
        "kinds": [
            {"kind": "case", "accuracy": 0.65, "drop": 0.002, "drop_low": -0.01, "drop_high": 0.013},
            {"kind": "typos", "accuracy": 0.57, "drop": 0.081, "drop_low": 0.06, "drop_high": 0.11},
        ],
    },
    "slices": [
        {"column": "channel", "value": "chat", "rows": 300, "accuracy": 0.7, "accuracy_low": 0.65, "accuracy_high": 0.75},
        {"column": "channel", "value": "letter", "rows": 120, "accuracy": 0.5, "accuracy_low": 0.41, "accuracy_high": 0.59},
    ],
}
CHAMPION = {
    "version": 3,
    "accuracy": 0.63,
    "accuracy_low": 0.58,
    "accuracy_high": 0.67,
    "gained": 20,
    "lost": 11,
    "p": 0.07,
    "worse_p": 0.97,
    "missing": [],
    "rows": 420,
}
VARIANTS = [
    {
        "name": "fp32",
        "device": "cpu",
        "file": "model.onnx",
        "bytes": 91_600_000,
        "max_difference": 1e-6,
        "label_agreement": 1.0,
        "passes": True,
        "served": True,
        "reason": "The reference that variants are compared with.",
    },
    {
        "name": "int8",
        "device": "cpu",
        "file": "model.int8.onnx",
        "bytes": 23_500_000,
        "max_difference": 0.12,
        "label_agreement": 0.98,
        "passes": False,
        "served": False,
        "reason": "On 98.0 % of 500 rows it gives the same label as the fp32 model, 1.0 points short of the 99 % required.",
        "detail": "share of rows with the same label 0.98 < 0.99",
    },
]
TIMINGS = {"model.onnx": {"p50_ms": 4.1, "p95_ms": 6.3, "rows_per_second": 310.0}}
