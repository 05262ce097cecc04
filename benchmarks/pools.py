"""Measure the extraction of pools: seconds, peak memory, and the cost of a second run after 1 % of the rows was added.

python -m benchmarks.pools [--rows 1000 10000 ...] [--precision fp32|int8] [--folder SCRATCH]

Texts are artificial, short and all distinct. Each run has its own process, and runs `extract` and the steps before it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import commit, machine

RESULTS = Path(__file__).parent / "results" / "pools.json"
WORDS = "card money account bank fee late lost new pay top up transfer refund why when how where my the a not still".split()  # noqa: SIM905


def write_task(folder: Path, rows: int, precision: str) -> None:
    """Write a task of four samples and a pool, as CSV. A larger pool starts with the rows of a smaller one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.csv").write_text("text,label\na cat,animal\na dog,animal\nseven,number\nnine,number\n", "utf-8")
    rng = np.random.default_rng(0)
    with (folder / "pool.csv").open("w", encoding="utf-8") as file:
        file.write("text\n")
        for number in range(rows):
            file.write(f"{' '.join(rng.choice(WORDS, 4))} {number}\n")
    spec = {
        "samples": "samples.csv",
        "unlabelled": "pool.csv",
        "encoder": {"precision": precision},
        "tune": {"body": "off", "pool_rows": rows},
    }
    (folder / "task.yaml").write_text(json.dumps(spec), "utf-8")


def run_extract(folder: Path) -> dict[str, Any]:
    """Run `extract`. Return its seconds, the process's peak memory in MB, and the figures that the step reports."""
    environment = os.environ | {"FSAT_DATA": str(folder / "data"), "FSAT_STORE": str(folder / "store")}
    started = time.perf_counter()
    child = subprocess.run([sys.executable, "-c", MEASURED], env=environment, capture_output=True, text=True, check=False)
    if child.returncode:
        raise SystemExit(child.stderr)
    answer: dict[str, Any] = json.loads(child.stdout.strip().split("\n")[-1])
    return {"seconds": round(time.perf_counter() - started, 1), **answer}


MEASURED = """
import json, resource
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.tasks.task import load_task
done = run_steps(load_task("pool"), "extract")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
notes = done["extract"].manifest["notes"]
print(json.dumps({"peak_mb": round(peak / 1024), "rows": notes["rows"], "encoded": notes["encoded"],
                  "validate_seconds": done["validate"].manifest["wall_seconds"],
                  "extract_seconds": done["extract"].manifest["wall_seconds"]}))
"""


def measure(rows: int, precision: str, scratch: Path) -> dict[str, Any]:
    """Time a run without cached features, and a second run after a hundredth of the rows was added.

    The encoder is exported before both runs, so the export is not timed.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        write_task(folder / "data" / "pool", 4, precision)
        run_extract(folder)
        write_task(folder / "data" / "pool", rows, precision)
        cold = run_extract(folder)
        write_task(folder / "data" / "pool", rows + max(rows // 100, 1), precision)
        again = run_extract(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "rows": rows,
        "precision": precision,
        "cold": cold,
        "one_per_cent_more": again,
        "share_of_cold": round(again["extract_seconds"] / cold["extract_seconds"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="needs 11 KB a row")
    options = parser.parse_args()
    found = json.loads(RESULTS.read_text("utf-8"))["pools"] if RESULTS.is_file() else []
    for rows in options.rows:
        one = measure(rows, options.precision, options.folder)
        print(json.dumps(one), flush=True)
        same = (rows, options.precision)
        found = [old for old in found if (old["rows"], old["precision"]) != same] + [one]
        found.sort(key=lambda pool: (pool["precision"], pool["rows"]))
        facts = {"machine": machine(), "commit": commit(RESULTS.parents[2]), "pools": found}
        RESULTS.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
