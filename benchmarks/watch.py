"""Measure the error rates of `fsat watch` on public sets: false alarms without drift, and detection of drift.

python -m benchmarks.watch [--data FOLDER] [--sets clinc150 banking77] [--splits 4] [--windows 50] [--folder SCRATCH]

For each split, train.jsonl is divided in two halves at random. One half is the pool of a model that is tuned and
published. Windows of 500 rows are drawn from the other half, and `watch` compares each with the model's reference.
Labels are used only to draw shifted windows. FOLDER is FSAT_BENCHMARK_DATA by default.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import read_rows
from benchmarks.machine import commit, machine
from benchmarks.open_gates import OPEN_GATES
from fsat_tasks.numerics.shift.drift import label_shift, scope_rise
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import load_task
from fsat_tasks.traffic.watch import REFERENCE_ROWS, watch_traffic

RESULTS = Path(__file__).parent / "results" / "watch.json"
ROWS = 500
DISTANCE = 0.3
"""Total variation distance of the shifted windows' class shares."""
OUTSIDE = 0.1
"""Share of out-of-scope rows in a window of the kind `out of scope`. This kind is drawn only if the data set has such rows."""
KINDS = ("same", "spread", "one class", "random", "out of scope")
ALL_OPEN = OPEN_GATES | {"max_warnings": 10**6, "max_drop": 1}


Shares = NDArray[np.float64]


def shifted_shares(kind: str, shares: Shares, rng: np.random.Generator) -> Shares:
    """Return class shares whose total variation distance from the given ones is DISTANCE.

    With `spread`, half of the classes grow by a common factor, and half shrink by another. This shift is the hardest to detect.
    With `one class`, a single class grows. With `random`, the shares move towards a draw from a flat Dirichlet
    distribution.
    """
    classes = len(shares)
    shifted: Shares
    if kind == "one class":
        one = int(rng.integers(classes))
        shifted = shares + DISTANCE * (np.eye(classes)[one] - shares) / (1 - shares[one])
        return shifted
    if kind == "random":
        other = rng.dirichlet(np.ones(classes))
        shifted = shares + (other - shares) * min(1.0, DISTANCE / (0.5 * np.abs(other - shares).sum()))
        return shifted
    while True:
        grow = rng.permutation(classes) < classes // 2
        shifted = shares * np.where(grow, 1 + DISTANCE / shares[grow].sum(), 1 - DISTANCE / shares[~grow].sum())
        if (shifted >= 0).all():
            return shifted


def draw_window(
    kind: str, texts: list[str], labels: NDArray[np.int64], outside: list[str], rng: np.random.Generator
) -> list[str]:
    """Draw a window from the half that is not the pool. If class shares are shifted, a row may occur more than once."""
    if kind == "same":
        return [texts[i] for i in rng.permutation(len(texts))[:ROWS]]
    if kind == "out of scope":
        strange = [outside[i] for i in rng.permutation(len(outside))[: int(OUTSIDE * ROWS)]]
        return [*(texts[i] for i in rng.permutation(len(texts))[: ROWS - len(strange)]), *strange]
    counts = rng.multinomial(ROWS, shifted_shares(kind, np.bincount(labels) / len(labels), rng))
    rows = np.concatenate([rng.choice(np.flatnonzero(labels == c), count) for c, count in enumerate(counts)])
    return [texts[i] for i in rows]


def write_texts(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")


def publish_half(source: Path, shots: int, split: int, body: str, scratch: Path) -> tuple[Run, NDArray[np.int64]]:
    """Tune and publish a model with one half of train.jsonl as the pool.

    Returns:
        The run, and the row indices of the other half of train.jsonl.
    """
    os.environ |= {"FSAT_DATA": str(scratch / "data"), "FSAT_STORE": str(scratch / "store")}
    folder = scratch / "data" / f"{source.name}-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    texts, _ = read_rows(source / "train.jsonl")
    order = np.random.default_rng(split).permutation(len(texts))
    pool, held = np.split(order, [len(texts) // 2])
    shutil.copyfile(source / f"train_{shots}.jsonl", folder / "samples.jsonl")
    write_texts(folder / "pool.jsonl", [texts[i] for i in pool])
    spec = {"samples": "samples.jsonl", "unlabelled": "pool.jsonl", "tune": {"body": body}, "gates": ALL_OPEN}
    (folder / "task.yaml").write_text(json.dumps(spec), "utf-8")
    task = load_task(folder.name)
    store = Store(scratch / "store")
    return Run(task, store, run_steps(task, store=store)), held


class DeployedJudge:
    """Runs drift tests with the published model as the judge, to compare it with `fsat watch`, whose judge is the reference head.

    The published model has learnt from the pool's rows.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        rows = run.pool.draw(REFERENCE_ROWS, run.task.spec.seed)
        self.pool = self._judge(list(run.pool.inputs(rows)))

    def _judge(self, texts: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        features, head = self.run.head_features(texts, "cpu"), self.run.head
        return head.outputs(features), head.scope_scores(features) < head.scope_threshold

    def p_values(self, window: list[str]) -> dict[str, float]:
        probabilities, outside = self._judge(window)
        return {"labels": label_shift(self.pool[0], probabilities, 0).p_value, "scope": scope_rise(self.pool[1], outside).p_value}


def watch_split(source: Path, shots: int, split: int, windows: int, body: str, scratch: Path) -> Iterator[dict[str, Any]]:
    """Yield the results of `watch` on each window."""
    run, held = publish_half(source, shots, split, body, scratch)
    texts, names = read_rows(source / "train.jsonl")
    classes = sorted(set(names))
    rest, labels = [texts[i] for i in held], np.searchsorted(classes, [names[i] for i in held])
    outside = read_rows(source / "oos_test.jsonl")[0] if (source / "oos_test.jsonl").is_file() else []
    run.features([*rest, *outside])  # all rows are encoded at once, so the seconds of a window do not include encoding
    deployed = DeployedJudge(run)
    file = scratch / "window.jsonl"
    for kind in KINDS if outside else KINDS[:-1]:
        for number in range(windows):
            window = draw_window(kind, rest, labels, outside, np.random.default_rng([split, KINDS.index(kind), number]))
            write_texts(file, window)
            watched = watch_traffic(run.task, run.store, file)
            drift = watched.json("drift.json")
            yield {
                "kind": kind,
                "drift": drift["drift"],
                "tests": {test["test"]: test["p_value"] for test in drift["tests"]},
                "seen": {test["test"]: test["drift"] for test in drift["tests"]},
                "total_variation": drift["total_variation"],
                "out_of_scope": drift["out_of_scope"],
                "seconds": watched.manifest["wall_seconds"],
                "deployed": deployed.p_values(window) if kind == "same" else None,
            }


def summarise(windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per kind of window."""
    lines = []
    for kind in KINDS:
        own = [window for window in windows if window["kind"] == kind]
        if not own:
            continue
        truth = 0.0 if kind in ("same", "out of scope") else DISTANCE
        apart = [window["total_variation"] for window in own]
        line = {
            "kind": kind,
            "windows": len(own),
            "drift": share(window["drift"] for window in own),
            "by_test": {name: share(window["seen"][name] for window in own) for name in own[0]["seen"]},
            "total_variation": float(np.mean([one["estimate"] for one in apart])),
            "interval_covers": share(one["low"] <= truth <= one["high"] for one in apart),
            "out_of_scope": float(np.mean([window["out_of_scope"]["window"] for window in own])),
            "seconds": float(np.median([window["seconds"] for window in own])),
        }
        if kind == "same":
            line["below_5_percent"] = {name: share(window["tests"][name] <= 0.05 for window in own) for name in own[0]["tests"]}
            line["deployed_below_5_percent"] = {
                name: share(window["deployed"][name] <= 0.05 for window in own) for name in own[0]["deployed"]
            }
        lines.append(line)
    return lines


def share(values: Iterable[bool]) -> float:
    return float(np.mean(list(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("FSAT_BENCHMARK_DATA"))
    parser.add_argument("--sets", nargs="+", default=["clinc150", "banking77"])
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--windows", type=int, default=50, help="of each kind, for each split")
    parser.add_argument("--body", choices=("full", "off"), default="off")
    parser.add_argument("--folder", type=Path, help="kept; by default a temporary one")
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or FSAT_BENCHMARK_DATA: a folder of sets")
    scratch = options.folder or Path(tempfile.mkdtemp())
    found = json.loads(RESULTS.read_text("utf-8"))["sets"] if RESULTS.is_file() else []
    for name in options.sets:
        windows: list[dict[str, Any]] = []
        for split in range(options.splits):
            windows += watch_split(options.data / name, options.shots, split, options.windows, options.body, scratch)
            print(json.dumps({"set": name, "splits": split + 1, "windows": summarise(windows)}), flush=True)
        one = {"set": name, "shots": options.shots, "splits": options.splits, "body": options.body, "windows": summarise(windows)}
        found = [old for old in found if (old["set"], old["body"]) != (name, options.body)] + [one]
        facts = {"machine": machine(), "commit": commit(RESULTS.parents[2]), "sets": found}
        RESULTS.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    if options.folder is None:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
