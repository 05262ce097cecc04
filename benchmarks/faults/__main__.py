"""Count what faults of the machine do to a store: kills, full disks, refused writes, clocks, copies, calls at once.

python -m benchmarks.faults [--only KIND] [--rounds N] [--every K] [--seed N] [--out FOLDER] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.command import about, add_out_option, save
from benchmarks.faults.bench import Bench, SkippedError
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.page import page, summary
from benchmarks.faults.place import prepare
from benchmarks.faults.rounds import failed, rows_of

console = Console(stderr=True, soft_wrap=True, highlight=False)


def measure(kind: str, bench: Bench) -> dict[str, Any]:
    """Make all rounds of a kind of fault, and print each."""
    options = {"rounds": bench.rounds, "every": bench.every, "seed": bench.seed}
    facts, started, rounds = {**about(), "options": options}, time.perf_counter(), []
    try:
        for one in KINDS[kind](bench):
            rounds.append(one)
            codes = ", ".join(str(answer.code) for answer in one.answers)
            lost = "; ".join(what for found in one.lost.values() for what in found)
            said = "".join(f"\n{answer.error}" for answer in one.unclear)
            console.print(f"{kind}, {one.what}: {one.fault}: {codes}{', LOST: ' if lost else ''}{lost}{said}", markup=False)
    except SkippedError as reason:
        return {**facts, "skipped": str(reason)}
    return {**facts, "seconds": round(time.perf_counter() - started), "rows": rows_of(rounds)}


def main() -> int:
    """Return the exit code: 0 if nothing was lost, 1 if something was lost or a call gave no clear answer, 2 if a call without a
    fault failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=KINDS, help="only this kind of fault; may be repeated")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of each verb, sizes of the disk; default %(default)s")
    parser.add_argument("--every", type=int, default=1, help="every k-th write of a run and every k-th pair; default all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and writes; default %(default)s")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    add_out_option(parser)
    options = parser.parse_args()
    if options.rounds < 1 or options.every < 1:
        parser.error("--rounds and --every must be at least 1")
    path = options.out / "faults.json"
    kinds: dict[str, Any] = json.loads(path.read_text("utf-8"))["kinds"] if path.is_file() else {}
    asked = options.only or list(KINDS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            console.print("two models are published")
            template = prepare(Path(folder).resolve() / "template")
            bench = Bench(template, template.root.parent, options.rounds, options.every, options.seed)
            for kind in asked:
                kinds[kind] = measure(kind, bench)
                save(options.out, "faults", {"kinds": kinds}, page(kinds))  # after each kind, because all take hours
        except (RuntimeError, OSError) as error:
            console.print(f"error: {error}", markup=False)
            return 2
    measured = {kind: kinds[kind] for kind in asked}
    print(json.dumps(measured, indent=1) if options.json else summary(measured))
    return int(any(failed(row) for kind in measured.values() for row in kind.get("rows", ())))


if __name__ == "__main__":
    sys.exit(main())
