"""Texts with two labels each, made from texts with one: fsat beside one-vs-rest logistic regressions on the same features.

python -m benchmarks.several_labels [--data FOLDER] [--sets a,b] [--shots 5,10] [--methods a,b] [--seed N] [--out FOLDER]

A row is a pair of texts of different classes, joined with "and". Its labels are both classes. Results that were written before
are kept, except those of the cells that run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import about, add_data_option, add_out_option, save
from benchmarks.data import class_name, find_sets, read_rows
from benchmarks.label_peers import LogisticRegressions, fit_logistic_regressions, tune_threshold
from fsat_tasks.encoders.encoder import Encoder, load_encoder
from fsat_tasks.encoders.kinds import find_encoder
from fsat_tasks.numerics.evidence.label_metrics import calibration_error, calibration_error_by_chance, score_labels
from fsat_tasks.numerics.evidence.thresholds import fit_thresholds
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.several_labels import SeveralLabels
from fsat_tasks.targets.several_labels import EVEN, SeveralLabelsTarget
from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder
from fsat_tasks.tuning.ladder import LADDER, run_ladder
from fsat_tasks.tuning.material import Material, Pool, Rows
from fsat_tasks.tuning.state import LadderSettings
from fsat_tasks.tuning.trial import TraceEntry

__all__ = ["METHODS", "PairRows", "load_pairs", "pair_texts"]

Array = NDArray[np.float64]
Features = NDArray[np.float32]
Matrix = NDArray[np.int64]

ENCODER = "all-MiniLM-L6-v2"
SETS = "banking77,clinc150"
LONG_BUDGET = 1200.0
"""Budget of `fsat-long` in planned seconds. It leaves time to encode the unlabelled rows with the fine-tuned encoders."""


@dataclass(frozen=True)
class PairRows:
    """Pairs that a method may see, and pairs on which it is judged."""

    classes: list[str]
    texts: list[str]
    labels: Matrix  # (n, classes)
    unlabelled: list[str]
    query: list[str]
    truth: Matrix  # (queries, classes)


@dataclass(frozen=True)
class Answer:
    """Answer of a method to the query rows."""

    probabilities: Array  # (queries, classes)
    predicted: Matrix  # (queries, classes)
    trace: tuple[TraceEntry, ...] = ()


class Cell:
    """Rows of a cell with their features, and what several methods share.

    Args:
        rows: the rows.
        encoder: the encoder.
        query: features of the query, (queries, layers, dim).
        pool: features of the unlabelled rows, (unlabelled, layers, dim); empty if no method uses them.
        seed: seed of the methods.
    """

    def __init__(self, rows: PairRows, encoder: Encoder, query: Features, pool: Features, seed: int) -> None:
        self.rows, self.encoder, self.query, self.pool, self.seed = rows, encoder, query, pool, seed
        self.features = encoder.encode(rows.texts, "all")
        self._regressions: dict[str | None, LogisticRegressions] = {}

    def material(self, pool: bool) -> Material:
        """Return the rows that the ladder tunes on, with the unlabelled rows or without any."""
        encoder, rows = self.encoder, self.rows
        names = [class_name(name) for name in rows.classes]
        unlabelled = Rows(self.pool, encoder.prepare(rows.unlabelled)) if pool else Rows(self.pool[:0], [])
        return Material(
            find_encoder(ENCODER),
            Rows(self.features, encoder.prepare(rows.texts)),
            SeveralLabels(rows.labels),
            Rows(encoder.encode(names, "all"), encoder.prepare(names)),
            Pool(unlabelled),
        )

    def regressions(self, scoring: str | None) -> LogisticRegressions:
        """Return the logistic regressions on the last layer that choose C by `scoring`."""
        if scoring not in self._regressions:
            self._regressions[scoring] = fit_logistic_regressions(self.features[:, -1], self.rows.labels, scoring)
        return self._regressions[scoring]


def pair_texts(texts: list[str], labels: NDArray[np.int64], classes: int, seed: int) -> tuple[list[str], Matrix]:
    """Join the texts to pairs of different labels. Each text is in exactly one row. An odd text is a row of its own.

    Args:
        texts: n texts.
        labels: (n,), in 0..classes-1.
        classes: number of classes.
        seed: seed of the pairs.

    Returns:
        The texts of the rows, and their labels, (rows, classes).

    Raises:
        ValueError: a label is on more than half of the texts.
    """
    half = len(texts) // 2
    if np.bincount(labels).max() > half:
        raise ValueError(f"expected no label on more than half of the {len(texts)} texts")
    rng = np.random.default_rng(seed)
    first, second, odd = np.split(rng.permutation(len(texts)), [half, 2 * half])
    while (clashes := np.flatnonzero(labels[first] == labels[second])).size:
        for row in clashes:
            other = rng.integers(half)
            second[row], second[other] = second[other], second[row]
    rows = [f"{texts[one]} and {texts[other]}" for one, other in zip(first, second, strict=True)]
    matrix = np.zeros((half + len(odd), classes), np.int64)
    matrix[np.arange(half), labels[first]] = 1
    matrix[np.arange(half), labels[second]] = 1
    matrix[half + np.arange(len(odd)), labels[odd]] = 1
    return rows + [texts[one] for one in odd], matrix


def load_pairs(folder: Path, shots: int, seed: int) -> PairRows:
    """Make the pairs of a set. Each label is in exactly `shots` labelled rows.

    Args:
        folder: the set's folder. Its train_K.jsonl gives the shots, its train.jsonl the unlabelled texts.
        shots: number of rows of each label, K.
        seed: seed of the pairs.
    """
    texts, names = read_rows(folder / f"train_{shots}.jsonl")
    classes = sorted(set(names))
    number = {name: at for at, name in enumerate(classes)}

    def pairs(texts: list[str], names: list[str]) -> tuple[list[str], Matrix]:
        return pair_texts(texts, np.array([number[name] for name in names], np.int64), len(classes), seed)

    taken = set(texts)
    rest = [(text, name) for text, name in zip(*read_rows(folder / "train.jsonl"), strict=True) if text not in taken]
    unlabelled, _ = pairs([text for text, _ in rest], [name for _, name in rest])
    return PairRows(classes, *pairs(texts, names), unlabelled, *pairs(*read_rows(folder / "test.jsonl")))


def ladder(rungs: Sequence[str], pool: bool, budget: float = LadderSettings.budget_seconds) -> Callable[[Cell], Answer]:
    """Return the method that runs these rungs of fsat's ladder, with the unlabelled rows or without them."""
    asked = [rung for rung in LADDER if rung.name in rungs]

    def answer(cell: Cell) -> Answer:
        material = cell.material(pool)
        fit = run_ladder(material, LadderSettings(seed=cell.seed, budget_seconds=budget), asked)
        query = cell.query
        if fit.weights is not None:
            query = encode_rows(load_torch_encoder(material.source, "cpu", fit.weights), cell.encoder.prepare(cell.rows.query))
        logits = fit.head.logits(mix_layers(query, fit.layers)) / fit.held_out.temperature
        outputs = SeveralLabels.link.outputs
        thresholds = fit_thresholds(outputs(fit.held_out.logits), cell.rows.labels)
        probabilities = outputs(logits)
        return Answer(probabilities, (probabilities >= thresholds).astype(np.int64), tuple(fit.trace))

    return answer


def regressions(scoring: str | None, tuned: bool) -> Callable[[Cell], Answer]:
    """Return scikit-learn's one-vs-rest logistic regression at the threshold 0.5, or at one that cross-validation tunes."""

    def answer(cell: Cell) -> Answer:
        fitted = cell.regressions(scoring)
        threshold = tune_threshold(fitted, cell.features[:, -1], cell.rows.labels) if tuned else EVEN
        probabilities = fitted.probabilities(cell.query[:, -1])
        return Answer(probabilities, (probabilities > threshold).astype(np.int64))

    return answer


METHODS: dict[str, Callable[[Cell], Answer]] = {
    "fsat-frozen": ladder(("probe",), pool=False),
    "fsat-pool": ladder(("probe", "pool"), pool=True),
    "fsat-body": ladder(("probe", "body"), pool=False),
    "fsat": ladder(SeveralLabelsTarget.rungs, pool=True),
    "fsat-long": ladder(SeveralLabelsTarget.rungs, pool=True, budget=LONG_BUDGET),
    "logistic-regression-cv": regressions(None, tuned=False),
    "logistic-regression-cv-log-loss": regressions("neg_log_loss", tuned=False),
    "logistic-regression-cv-threshold": regressions("neg_log_loss", tuned=True),
}


TAUGHT = ("fsat-pool", "fsat", "fsat-long")
"""Methods that use the unlabelled rows."""


def judge(answer: Answer, truth: Matrix) -> dict[str, float]:
    """Return the scores and the calibration error of an answer."""
    scores = score_labels(truth, answer.predicted)
    return {
        "micro_f1": scores.micro_f1,
        "macro_f1": scores.macro_f1,
        "subset_accuracy": scores.subset_accuracy,
        "calibration_error": calibration_error(answer.probabilities, truth),
        "calibration_error_by_chance": calibration_error_by_chance(answer.probabilities, seed=0),
    }


def run(folder: Path, shots: list[int], methods: list[str], seed: int) -> Iterator[dict[str, Any]]:
    """Yield one row of results for each number of shots and method."""
    encoder = load_encoder(ENCODER)
    splits = [load_pairs(folder, count, seed) for count in shots]
    query = encoder.encode(splits[0].query, "all")  # the pairs of test.jsonl depend on the seed only
    for count, rows in zip(shots, splits, strict=True):
        pool = encoder.encode(rows.unlabelled if set(methods) & set(TAUGHT) else [], "all")
        cell = Cell(rows, encoder, query, pool, seed)
        for method in methods:
            started = time.perf_counter()
            answer = METHODS[method](cell)
            seconds = time.perf_counter() - started
            about_it = {"set": folder.name, "shots": count, "method": method, "seed": seed, "seconds": seconds}
            result = about_it | judge(answer, rows.truth) | {"trace": [asdict(rung) for rung in answer.trace]}
            print({name: value for name, value in result.items() if name != "trace"}, flush=True)
            yield result


def known_cells(path: Path) -> list[dict[str, Any]]:
    """Return the cells in a file of results; none if there is no file."""
    return list(json.loads(path.read_text("utf-8"))["cells"]) if path.is_file() else []


def with_cell(cells: list[dict[str, Any]], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells with a new one, which replaces that of the same set, shots, seed and method. They are sorted."""

    def key(cell: dict[str, Any]) -> tuple[str, int, int, int]:
        return cell["set"], cell["shots"], cell["seed"], list(METHODS).index(cell["method"])

    return sorted([*(cell for cell in cells if key(cell) != key(new)), new], key=key)


def page(results: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown."""
    lines = [
        "# Several labels\n",
        "Pairs of texts with two labels; see `benchmarks/several_labels.py`. By chance: the calibration error of a",
        "perfectly calibrated method with the same probabilities.\n",
        "| set | shots | method | micro-F1 % | macro-F1 % | subset accuracy % | calibration error | by chance | rung | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in results:
        scores = " | ".join(f"{100 * cell[name]:.1f}" for name in ("micro_f1", "macro_f1", "subset_accuracy"))
        errors = f"{cell['calibration_error']:.4f} | {cell['calibration_error_by_chance']:.4f}"
        rung = next((rung["name"] for rung in reversed(cell["trace"]) if rung["taken"]), "")
        method = f"{cell['set']} | {cell['shots']} | {cell['method']}"
        lines.append(f"| {method} | {scores} | {errors} | {rung} | {cell['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Return the exit code: 0 if the results are written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.several_labels", description=__doc__.splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--sets", default=SETS, help="default %(default)s")
    parser.add_argument("--shots", default="5,10", help="numbers of rows of each label; default %(default)s")
    parser.add_argument("--methods", default=",".join(METHODS), help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="seed of the pairs; default %(default)s")
    add_out_option(parser)
    options = parser.parse_args()
    facts = about()
    try:
        sets = find_sets(options.data, options.sets.split(","))
        unknown = sorted(set(options.methods.split(",")) - set(METHODS))
        if unknown:
            raise ValueError(f"expected methods among {', '.join(METHODS)}, got {', '.join(unknown)}")
        shots = [int(count) for count in options.shots.split(",")]
        cells = known_cells(options.out / "several_labels.json")
        for name in sets:
            for cell in run(options.data / name, shots, options.methods.split(","), options.seed):
                cells = with_cell(cells, cell)
                save(options.out, "several_labels", {**facts, "cells": cells}, page(cells))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
