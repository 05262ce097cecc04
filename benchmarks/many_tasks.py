"""Measure the cost of many small tasks that share one pool, relative to the cost of only extracting the pool's features.

python -m benchmarks.many_tasks [TASKS] [--data FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.command import about, add_data_option, add_out_option, save
from benchmarks.data import find_sets, read_rows

SET = "clinc150"
POOL_ROWS, CLASSES, SHOTS = 10_000, 10, 10
EARLY = 10  # number of tasks after which memory is measured for the first time, to compare it with the memory at the end
BOUND = 3.0  # goal: maximum ratio of the time of all tasks to the time of only extracting the pool

Figures = dict[str, Any]
console = Console(stderr=True, soft_wrap=True, highlight=False)


def make_tasks(source: Path, data: Path, count: int) -> list[str]:
    """Make tasks that share pool.jsonl, and return their names. Each has ten classes of ten shots, drawn with a seed."""
    rng = random.Random(0)
    pool, _ = read_rows(source / "train.jsonl")
    _write(data / "pool.jsonl", [{"text": text} for text in rng.sample(pool, min(POOL_ROWS, len(pool)))])
    shots = list(zip(*read_rows(source / f"train_{SHOTS}.jsonl"), strict=True))
    labels = sorted({label for _, label in shots})
    names = [f"task-{number:04d}" for number in range(count)]
    for name in names:
        own = set(rng.sample(labels, min(CLASSES, len(labels))))
        (data / name).mkdir()
        _write(data / name / "samples.jsonl", [{"text": text, "label": label} for text, label in shots if label in own])
        (data / name / "task.yaml").write_text(
            '{samples: samples.jsonl, unlabelled: ../pool.jsonl, tune: {body: "off"}}\n', "utf-8"
        )
    return names


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def run(names: list[str]) -> Figures:
    """Run all steps of all tasks in this process, on a store that holds only the exported encoder."""
    from fsat_tasks import load_encoder
    from fsat_tasks.steps.many_tasks import Outcome, run_many
    from fsat_tasks.steps.pipeline import run_steps
    from fsat_tasks.store import Store
    from fsat_tasks.tasks.task import load_task
    from fsat_tasks.tasks.workspace import Workspace

    load_encoder("all-MiniLM-L6-v2", "cpu")
    first = load_task(names[0])
    _, checking = _timed(lambda: run_steps(first, "validate"))
    _, extraction = _timed(lambda: run_steps(first, "extract"))
    memory: list[float] = []
    steps: Counter[str] = Counter()

    def report(outcome: Outcome) -> None:
        memory.append(_resident_mb())
        steps.update({step: artefact.manifest["wall_seconds"] for step, artefact in outcome.artefacts.items() if artefact.built})
        console.print(f"{outcome.task}: {outcome.name}, {outcome.seconds:.1f} s, {memory[-1]:.0f} MB", markup=False)

    outcomes, rest = _timed(lambda: run_many(names, load_task, report, Store(Workspace.from_env().store)))
    total = {clock: checking[clock] + extraction[clock] + rest[clock] for clock in rest}
    return {
        "tasks": len(names),
        "outcomes": dict(Counter(outcome.name for outcome in outcomes)),
        "extraction": extraction,
        "total": total,
        "ratio": {clock: total[clock] / extraction[clock] for clock in total},
        "task_share": float(np.median([outcome.seconds for outcome in outcomes[1:] or outcomes])) / extraction["wall"],
        "task_seconds": {step: seconds / len(names) for step, seconds in steps.items()},
        "resident_mb": {
            "early": memory[min(EARLY, len(memory)) - 1],
            "end": memory[-1],
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        },
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return the result of `work`, its wall-clock seconds and its processor seconds.

    Other programs on this machine change the processor seconds less than the wall-clock seconds.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def markdown(results: Figures) -> str:
    """Return the results page."""
    place, memory = results["machine"], results["resident_mb"]
    rows = [(clock, *(f"{results[name][clock]:.1f}" for name in ("extraction", "total", "ratio"))) for clock in ("wall", "cpu")]
    steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in results["task_seconds"].items())
    outcomes = ", ".join(f"{count} {name}" for name, count in results["outcomes"].items())
    return (
        "\n".join(
            [
                "# Many tasks over one pool",
                "",
                "Written by `python -m benchmarks.many_tasks`.",
                "",
                f"{place['cpu']}, {place['cores']} cores, {place['ram_gb']} GB; commit {results['commit']}; load average before"
                f" {results['load_average']:.1f}.",
                "",
                f"{results['tasks']} tasks of {CLASSES} classes by {SHOTS} shots of {SET}, one pool of "
                f"{POOL_ROWS:,} rows, one process,"
                f" and nothing but the exported encoder in the store: {outcomes}. The aim is {BOUND:.0f} times "
                f"the extraction, with 100"
                " tasks.",
                "",
                "| clock | extraction alone, s | all steps of all tasks, s | ratio |",
                "| --- | --- | --- | --- |",
                *(f"| {' | '.join(row)} |" for row in rows),
                "",
                f"A task after the first takes {results['task_share']:.2f} times the extraction, in the median. "
                f"Seconds by the clock a"
                f" task: {steps}.",
                "",
                f"Resident memory: {memory['early']:.0f} MB after {min(EARLY, results['tasks'])} tasks, "
                f"{memory['end']:.0f} MB at the"
                f" end, {memory['peak']:.0f} MB at most.",
            ]
        )
        + "\n"
    )


def main() -> int:
    """Return the exit code: 0 if the results are written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_tasks", description=__doc__.splitlines()[0])
    parser.add_argument("tasks", type=int, nargs="?", default=100, help="how many; each leaves 150 MB on the disk until the end")
    add_data_option(parser)
    add_out_option(parser)
    options = parser.parse_args()
    facts = about()
    try:
        find_sets(options.data, [SET])
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            data.mkdir()
            os.environ |= {"FSAT_DATA": str(data), "FSAT_STORE": f"{folder}/store"}
            results = {**facts, **run(make_tasks(options.data / SET, data, options.tasks))}
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", markup=False)
        return 2
    save(options.out, "many_tasks", results, markdown(results))
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
