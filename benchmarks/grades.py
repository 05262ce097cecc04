"""Judge the heads for grades and numbers beside the one-label head and the mean: python -m benchmarks.grades --data FOLDER

The rows come from train.jsonl of a set with two classes (see `stars`). Shots are drawn by seeds, and all other rows are judged.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import about, add_data_option, add_out_option, save
from benchmarks.features import FeatureCache, encoder_source
from benchmarks.stars import GRADES, StarSet, draw_shots, make_stars
from fsat_tasks.encoders.encoder import load_encoder
from fsat_tasks.numerics.evidence.intervals import half_widths, share_within
from fsat_tasks.numerics.evidence.ordinal_metrics import rank_agreement
from fsat_tasks.numerics.evidence.paired import compare_paired_errors
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.cumulative import grade_losses
from fsat_tasks.numerics.heads.frozen import fit_frozen_head
from fsat_tasks.numerics.heads.grades import Grades, GradeSetting, decide_grades, expected_grades
from fsat_tasks.numerics.heads.links import Link
from fsat_tasks.numerics.heads.numbers import Numbers
from fsat_tasks.numerics.types import Array, Features, Labels

SET = "sst2"
SHOTS = (8, 16, 32)
NAMES = {
    "stars": [f"{grade} star{'s' if grade > 1 else ''}" for grade in range(1, GRADES + 1)],
    "digits": [str(grade) for grade in range(1, GRADES + 1)],
}
"""Names of the grades, with which the heads are judged one after the other."""
COVERAGE = 0.9
TOLERANCE = 10.0
"""Maximum distance at which a number in 0..100 counts as right."""
DECISIONS: dict[str, Callable[[Array], NDArray[Any]]] = {
    "most probable": lambda probabilities: probabilities.argmax(axis=1),
    "median": decide_grades,
    "expected": expected_grades,
}
"""Functions that read a predicted grade from the probabilities."""


@dataclass(frozen=True)
class Draw:
    """Shots, and the rows on which heads are judged."""

    shots: NDArray[np.int64]
    query: NDArray[np.int64]


def draw(stars: StarSet, shots: int, seed: int) -> Draw:
    rows = draw_shots(stars.grades, shots, seed)
    return Draw(rows, np.setdiff1d(np.arange(len(stars.grades)), rows))


def judge_grades(features: Features, labels: Labels, names: Features, rows: Draw) -> dict[str, float]:
    """Return mean absolute errors of both heads by each decision, and their log-losses in nats."""
    shots, query, truth = features[rows.shots], features[rows.query], labels[rows.query]
    plain = fit_frozen_head(shots, labels[rows.shots], names)
    logits = plain.head.logits(mix_layers(query, plain.chosen.layers)) / plain.chosen.temperature
    unordered = Link.SOFTMAX.outputs(logits)
    probe = Grades(labels[rows.shots], GRADES).search(shots, names)
    assert isinstance(probe.chosen, GradeSetting)
    logits = probe.head.logits(mix_layers(query, probe.chosen.layers)) / probe.chosen.temperature
    ordered = Link.CUMULATIVE.outputs(logits)
    figures = {
        "one label, log-loss": float(-np.log(unordered[np.arange(len(truth)), truth]).mean()),
        "grades, log-loss": float(grade_losses(logits, truth).mean()),
        "grades, tau-b": rank_agreement(truth, expected_grades(ordered)),
    }
    errors = {}
    for head, probabilities in (("one label", unordered), ("grades", ordered)):
        for decision, decide in DECISIONS.items():
            errors[f"{head}, {decision}"] = np.abs(decide(probabilities) - truth).astype(np.float64)
    paired = compare_paired_errors(errors["grades, median"], errors["one label, median"])
    figures["nearer rows per farther row"] = paired.gained / max(paired.lost, 1)
    return figures | {name: float(found.mean()) for name, found in errors.items()}


def judge_numbers(features: Features, values: Array, rows: Draw) -> dict[str, float]:
    """Return mean absolute errors of the head and of the shots' mean, and the coverage of the intervals."""
    shots, truth = values[rows.shots], values[rows.query]
    probe = Numbers(shots, TOLERANCE).search(features[rows.shots], features[:0])
    found = probe.head.logits(mix_layers(features[rows.query], probe.chosen.layers))[:, 0]
    widths = half_widths(probe.held_out[:, 0] - shots, [COVERAGE])
    return {
        "error": float(np.abs(found - truth).mean()),
        "error left out": float(np.abs(probe.held_out[:, 0] - shots).mean()),
        "error of the mean": float(np.abs(truth - shots.mean()).mean()),
        "half-width": float(widths[0]),
        "share within": float(share_within(found - truth, widths)[0]),
        "tau-b": rank_agreement(truth, found),
    }


def means(figures: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each figure over the seeds."""
    return {name: float(np.mean([one[name] for one in figures])) for name in figures[0]}


def load(path: Path, options: argparse.Namespace) -> tuple[StarSet, Features, dict[str, Features]]:
    """Return the rated texts of the file, their features (n, layers, dim), and features of the grades' names."""
    stars = make_stars(path)
    cache = FeatureCache(options.cache, options.encoder, encoder_source(options.encoder).revision)
    cache.extract([path])
    encoder = load_encoder(options.encoder)
    names = {kind: encoder.encode(texts, "all") for kind, texts in NAMES.items()}
    return stars, cache.load(path)[0][stars.lines], names


def main() -> int:
    """Return the exit code: 0 if the results are written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grades", description=__doc__.splitlines()[0])
    add_data_option(parser)
    add_out_option(parser)
    parser.add_argument("--encoder", default="all-MiniLM-L6-v2", help="name or folder; default %(default)s")
    parser.add_argument("--seeds", type=int, default=10, help="number of draws; default %(default)s")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/fsat-benchmarks", help="default %(default)s")
    options = parser.parse_args()
    results = about()
    path = options.data / SET / "train.jsonl"
    if not path.is_file():
        print(f"error: expected {path}", file=sys.stderr)
        return 2
    stars, features, names = load(path, options)
    results |= {"rows": np.bincount(stars.grades, minlength=GRADES).tolist(), "seeds": options.seeds, "grades": {}, "numbers": {}}
    for shots in SHOTS:
        draws = [draw(stars, shots, seed) for seed in range(1, options.seeds + 1)]
        results["numbers"][shots] = means([judge_numbers(features, stars.numbers, rows) for rows in draws])
        results["grades"][shots] = {
            kind: means([judge_grades(features, stars.grades, named, rows) for rows in draws]) for kind, named in names.items()
        }
        print(f"{shots} shots a grade: {results['grades'][shots]}, {results['numbers'][shots]}", flush=True)
    save(options.out, "grades", results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
