"""The pages of the extraction benchmark, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.extraction_workload import (
    MIXED_FROM,
    PEER,
    REPEATED,
    ROUNDS,
)

__all__ = ["SHOTS", "Figures", "cpu_page", "gpu_page", "pace", "page_head"]

SHOTS = 10  # shots per class for the head

Figures = dict[str, Any]


def pace(entry: Figures) -> str:
    return " → ".join(f"{rate / 1e9:.0f}" for rate in entry["pace"])


def page_head(results: Figures) -> list[str]:
    about = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    options = " --cuda" if "device" in results else ""
    return [
        "# Feature extraction",
        "",
        f"Written by `python -m benchmarks.extraction{options}`.",
        "",
        f"{about['cpu']}, {about['cores']} cores, {about['ram_gb']} GB; Python {about['python']}, {versions}; encoder"
        f" {results['encoder']}; commit {results['commit']}; threads {results['threads']}; load average before"
        f" {results['load_average']:.1f}.",
        "",
        f"Rows/s are those of the best of {ROUNDS} rounds; spread is by how much the slowest took longer. Ratio and cosine are to"
        f" the defaults of {PEER} on the same texts. Pace is the GFLOP/s of a plain product on the CPU before and after: where it"
        " differs between two rows, the machine was not equally fast, and their ratio says little.",
        "",
    ]


def cpu_page(results: Figures) -> list[str]:
    return [
        "## CPU",
        "",
        *_speeds_table(results["speeds"], results["texts"]),
        "",
        "## Share of the matrix rate",
        "",
        _rate_line(results["matrix_rate"]),
        "",
        f"## {REPEATED:.0%} of the rows repeated",
        "",
        *_table(
            ("method", "time, over that of as many different rows"),
            [(entry["method"], f"{entry['time_ratio']:.2f}") for entry in results["repeats"]],
        ),
        "",
        f"## Frozen head on {MIXED_FROM}, {SHOTS} shots",
        "",
        *_table(
            ("head fitted on", "rows asked with", "layers", "accuracy %", "same answer as fp32 %"),
            [
                (
                    entry["fitted_on"],
                    entry["asked_with"],
                    entry["layers"],
                    f"{100 * entry['accuracy']:.2f}",
                    f"{100 * entry['agreement']:.2f}",
                )
                for entry in results["head_parity"]
            ],
        ),
    ]


def gpu_page(results: Figures) -> list[str]:
    return [
        "## CUDA",
        "",
        f"{results['device']}; fsat runs as {results['numeric_class']}.",
        "",
        *_speeds_table(results["speeds"], results["texts"]),
        "",
        _rate_line(results["matrix_rate"]),
    ]


def _speeds_table(speeds: list[Figures], texts: Figures) -> list[str]:
    rows = []
    for entry in speeds:
        size = texts[entry["texts"]]
        about = (entry["texts"], size["rows"], f"{size['min']} / {size['mean']:.0f} / {size['max']}", entry["method"])
        if entry["error"] is not None:
            rows.append((*about, " ".join(entry["error"].split()).replace("|", "\\|"), *[""] * 5))
            continue
        spread = max(entry["seconds"]) / min(entry["seconds"]) - 1
        speed = f"{entry['rows_per_second']:.0f}", f"{100 * spread:.0f}", pace(entry)
        near = [""] * 3
        if "ratio" in entry:
            near = [f"{entry['ratio']:.2f}", *(f"{entry['cosine'][at]:.6f}" for at in ("mean", "min"))]
        rows.append((*about, *speed, *near))
    headings = "texts", "rows", "tokens (least / mean / most)", "method", "rows/s", "spread %", "pace", "ratio"
    return _table((*headings, "cosine, mean", "least"), rows)


def _rate_line(rate: Figures) -> str:
    reached = "no figure" if rate["share"] is None else f"{rate['reached'] / 1e9:,.1f} GFLOP/s, {rate['share']:.0%} of it"
    return (
        f"Plain {rate['precision']} products by torch: {rate['best'] / 1e9:,.1f} GFLOP/s. {rate['method']} on"
        f" {rate['texts']} texts, all else that it does within its time: {reached}."
    )


def _table(headings: Sequence[object], rows: Sequence[Sequence[object]]) -> list[str]:
    return ["| " + " | ".join(map(str, row)) + " |" for row in (headings, ["---"] * len(headings), *rows)]
