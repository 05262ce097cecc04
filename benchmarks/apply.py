"""Compare the rows/s of `fsat apply`, from files to files, with the rows/s of its model alone.

python -m benchmarks.apply [--rows N] [--task NAME] [--out FOLDER]

FSAT_STORE must have the task's champion, and FSAT_DATA must have the task's folder. `fsat apply` and the model alone run
in turns, in one process and on the same rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.command import about, add_out_option, save
from fsat_tasks.data.readers import read_inputs
from fsat_tasks.models.served import ServedModel
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic.labelling import SHARD, Labeller

ROUNDS = 3
console = Console(stderr=True, soft_wrap=True, highlight=False)


def make_texts(name: str, rows: int) -> list[str]:
    """Make `rows` distinct texts. They are the task's unlabelled texts, repeated as needed, each with a number at its end."""
    pool = load_task(name).file("unlabelled")
    if pool is None:
        raise ValueError(f"task {name} has no unlabelled texts")
    texts = list(read_inputs(pool, load_task(name).row_format()))
    return [f"{texts[i % len(texts)]} {i}" for i in range(rows)]


def run(name: str, rows: int) -> dict[str, Any]:
    """Run the model alone and `fsat apply` in turns. Return seconds by round, best rates and their ratio."""
    texts, task, artefact = make_texts(name, rows), load_task(name), champion_model(name)
    model = ServedModel(artefact.path)
    model.run(texts[:64])  # the first call is slow, because it allocates the session's memory
    seconds: dict[str, list[float]] = {"model alone": [], "fsat apply": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("".join(json.dumps({task.spec.text: text}) + "\n" for text in texts), "utf-8")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for start in range(0, rows, SHARD):
                model.run(texts[start : start + SHARD])
            seconds["model alone"].append(time.perf_counter() - started)
            started = time.perf_counter()
            Labeller(task, Store(Path(folder) / "store"), artefact).label(file)
            seconds["fsat apply"].append(time.perf_counter() - started)
            shutil.rmtree(Path(folder) / "store")
    ratio = min(seconds["model alone"]) / min(seconds["fsat apply"])
    return {
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": {way: rows / min(some) for way, some in seconds.items()},
        "ratio": ratio,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.apply", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=8192, help="default %(default)s")
    parser.add_argument("--task", default="support-intents", help="default %(default)s")
    add_out_option(parser)
    options = parser.parse_args()
    facts = about()
    figures = run(options.task, options.rows)
    save(options.out, "apply", {**facts, "shard": SHARD, **figures})
    rates = ", ".join(f"{way} {rate:.0f} rows/s" for way, rate in figures["rows_per_second"].items())
    console.print(f"{rates}; ratio {figures['ratio']:.3f}; load average before {facts['load_average']:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
