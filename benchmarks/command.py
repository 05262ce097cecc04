"""Common parts of the benchmarks' commands: options, and the files of their results."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from benchmarks.cells import ROOT
from benchmarks.machine import commit, machine

__all__ = ["about", "add_data_option", "add_out_option", "save"]


def add_data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("FSAT_BENCHMARK_DATA", "sets")),
        help="folder of sets; default $FSAT_BENCHMARK_DATA, or %(default)s",
    )


def add_out_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="default %(default)s")


def about() -> dict[str, Any]:
    """Return machine, commit and load average. Call this before the benchmark, because the benchmark raises the load."""
    return {"machine": machine(), "commit": commit(ROOT), "load_average": os.getloadavg()[0]}


def save(out: Path, name: str, results: dict[str, Any], page: str | None = None) -> None:
    """Write NAME.json and, if a page is given, NAME.md."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
    if page is not None:
        (out / f"{name}.md").write_text(page, "utf-8")
