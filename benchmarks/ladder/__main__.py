"""Put the rule of the ladder to the test on many small tasks: python -m benchmarks.ladder [--data FOLDER] [--draws N]

Each draw is a small task of a public set's train.jsonl. Every rung that the ladder tries is judged on rows that it has not
seen, whether it was taken or not. Draws that were judged before are not judged again.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.command import about, add_data_option, add_out_option, save
from benchmarks.data import find_sets
from benchmarks.features import FeatureCache, encoder_source
from benchmarks.ladder.draws import SETS, draw, read_set, set_of
from benchmarks.ladder.evidence import Evidence, read_evidence, write_evidence
from benchmarks.ladder.figures import figures
from benchmarks.ladder.page import page
from benchmarks.ladder.tasks import judge_rungs, load_task
from fsat_tasks.encoders.encoder import load_encoder
from fsat_tasks.tuning.state import LadderSettings

console = Console(stderr=True, soft_wrap=True, highlight=False)

DRAWS, BUDGET_SECONDS = 120, 60.0


def main() -> int:
    """Return the exit code: 0 if the results are written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    add_out_option(parser)
    parser.add_argument("--draws", type=int, default=DRAWS, help="number of small tasks; default %(default)s")
    parser.add_argument("--budget-seconds", type=float, default=BUDGET_SECONDS, help="of each task; default %(default)g")
    parser.add_argument("--encoder", default="all-MiniLM-L6-v2", help="name or folder; default %(default)s")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/fsat-benchmarks", help="default %(default)s")
    options = parser.parse_args()
    facts = about()
    try:
        find_sets(options.data, sorted(set(SETS)))
    except ValueError as error:
        console.print(f"error: {error}", markup=False)
        return 2
    judge(options)
    found = read_evidence(options.cache / "ladder", range(options.draws))
    results = {**facts, "budget_seconds": options.budget_seconds, **figures(found)}
    save(options.out, "ladder", results, page(results))
    console.print(f"{len(found)} draws; results in {options.out / 'ladder.md'}", markup=False)
    return 0


def judge(options: argparse.Namespace) -> None:
    """Judge the draws that have not been judged yet."""
    folder, source, encoder = options.cache / "ladder", encoder_source(options.encoder), load_encoder(options.encoder)
    features = FeatureCache(options.cache / "features", options.encoder, source.revision)
    rows_of = cache(lambda name: read_set(options.data / name))
    for number in range(options.draws):
        if (folder / f"{number}.npz").is_file():
            continue
        rows, started = rows_of(set_of(number)), time.perf_counter()
        features.extract([rows.path])
        drawn = draw(number, rows)
        task = load_task(rows, drawn, features.load(rows.path)[0], encoder, source)
        rungs = judge_rungs(task, LadderSettings(budget_seconds=options.budget_seconds))
        write_evidence(folder, Evidence.of(number, set_of(number), task, rungs))
        right = {rung.entry.name: f"{100 * np.mean(rung.logits.argmax(axis=1) == task.truth):.1f}" for rung in rungs}
        sizes = f"{len(drawn.classes)} classes, {len(drawn.shots)} shots, {len(drawn.pool)} pool rows"
        seconds = time.perf_counter() - started
        console.print(f"{number} {set_of(number)}: {sizes}: {right}, {seconds:.0f} s", markup=False)


if __name__ == "__main__":
    sys.exit(main())
