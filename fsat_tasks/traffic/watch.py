"""Watch: test whether a window of new traffic is still like the rows that the champion was tuned with.

Watching is not a step of the pipeline. It reads the published champion and never changes the registry.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fsat_tasks.errors import DataError
from fsat_tasks.inputs.modality import Input
from fsat_tasks.quality.wording import PERCENT
from fsat_tasks.registry.champion_files import champion_run
from fsat_tasks.runs.run import Run
from fsat_tasks.runtime.device import or_on_the_cpu
from fsat_tasks.runtime.logs import at_work
from fsat_tasks.runtime.machine import Device
from fsat_tasks.runtime.numeric_class import CPU_CLASS, CUDA_CLASSES, NumericClass
from fsat_tasks.runtime.progress import show_work
from fsat_tasks.store import Artefact, Recipe, Store, versions
from fsat_tasks.store.files import canonical_json, write_json
from fsat_tasks.tasks.task import Task
from fsat_tasks.traffic.reference import Judged, ReferenceHead, fit_reference_head
from fsat_tasks.traffic.window import read_window

if TYPE_CHECKING:
    from fsat_tasks.numerics.shift.class_shares import SharesApart
    from fsat_tasks.numerics.shift.drift import Shift
    from fsat_tasks.numerics.types import Array

__all__ = ["drift_event", "first_alarm", "watch_traffic"]

REFERENCE_ROWS = 2000
"""Maximum number of pool rows in the reference. They are drawn by the seed. The number is four times the default window, because
more rows would hardly make the tests more sensitive."""

UNLIKE = 10
"""Number of rows, least like the samples, that are shown if there is drift."""

Kind = Literal["unlabelled", "query", "samples"]

REFERENCES: dict[Kind, str] = {
    "unlabelled": "the unlabelled rows that the champion was tuned with",
    "query": "the champion's query rows, because it was tuned without unlabelled rows. If these rows were picked by hand, their "
    "class shares may differ from those of the traffic, and that counts as drift",
    "samples": "the champion's samples, because it has neither unlabelled nor query rows. Samples are picked by hand, so class "
    "shares are not compared, and the drift may be no more than that choice",
}
"""Kind of reference -> its description in drift.json."""


def watch_traffic(task: Task, store: Store, traffic: Path) -> Artefact:
    """Compare the traffic's newest rows with the reference rows: their features, class shares, and share of rows out of scope.

    Writes drift.json, which has the verdict, each test with its figure and p-value, and the class shares with their confidence
    intervals. If there is drift, it also has the rows that are least like the samples. Texts that are in the row cache are not
    encoded again. If the champion was made on a GPU, a machine without such a GPU cannot use the features that the GPU computed.
    That machine encodes all texts again.

    Raises:
        RegistryError: if the task has no champion, or if the artefacts that the champion was made from are no longer in the
            store.
        DataError: if the traffic cannot be read.
        DeviceError: if the task asks for a device that this machine lacks.
    """
    with at_work(task.name, "watch"):
        with show_work(f"read {traffic.name}"):
            run, window = champion_run(task, store), read_window(task, traffic)
        return or_on_the_cpu(task.spec.device, lambda device: _watch(run, window, str(traffic), device))


def _watch(run: Run, inputs: list[Input], file: str, device: Device) -> Artefact:
    spec, numeric_class = run.task.spec, run.encoding_class(device)
    content = hashlib.sha256(canonical_json(inputs).encode()).hexdigest()
    recipe = Recipe(
        "watch",
        versions.WATCH,
        config={"significance": spec.watch.significance, "seed": spec.seed},
        inputs={
            "model": run.exported.digest,
            "tune": run.tuned.digest,
            "validate": run.validated.digest,
            "extract": run.extracted.digest,
            "window": content,
        },
        numeric_class=numeric_class,
        parents={step: run.artefacts[step] for step in ("export", "tune", "validate", "extract")},
    )

    def write(folder: Path) -> dict[str, Any]:
        with show_work("fit the reference head"):
            head = fit_reference_head(run, numeric_class)
        judge = _Judge(run, head, numeric_class)
        window = judge(inputs)
        if window is None:
            raise DataError(file, "two rows or more that are no samples of the task", "fewer")
        reference = _reference(run, judge)
        with show_work("compare"):
            found = _compare(reference, window, head, spec.watch.significance, spec.seed)
        found["unlike"] = _unlike(run, judge.new(inputs), window.scope) if found["drift"] else []
        write_json(folder / "drift.json", {"task": run.task.name, "model": run.exported.reference(), **found})
        p_values = {f"p_{test['test']}": test["p_value"] for test in found["tests"]}
        return {"drift": found["drift"], "window": len(window), "reference": len(reference.judged), **p_values}

    found = run.store.find_first(recipe, (*CUDA_CLASSES, CPU_CLASS)) if spec.device == "auto" else None
    return found or run.store.build(recipe, write)


def first_alarm(store: Store, watched: Artefact) -> bool:
    """Return True for the first call with this window and this champion on any machine that shares the store."""
    about = watched.manifest
    recipe = Recipe("alarm", versions.ALARM, config=about["config"], inputs=about["inputs"], parents={"watch": watched})
    return store.build(recipe, lambda folder: None).built


def drift_event(task: Task, watched: Artefact, traffic: Path) -> dict[str, Any]:
    """Return the content of a drift event: the task, the traffic's path and the figures.

    The path is relative to the task's folder, so that it is a valid value of `unlabelled` in task.yaml.
    """
    drift = watched.json("drift.json")
    return {
        "task": task.name,
        "unlabelled": os.path.relpath(traffic, task.folder.resolve()),
        "watch": watched.reference(),
        "tests": {test["test"]: {"figure": test["figure"], "p_value": test["p_value"]} for test in drift["tests"]},
        "total_variation": drift["total_variation"],
        "out_of_scope": drift["out_of_scope"],
    }


@dataclass(frozen=True)
class _Reference:
    kind: Kind
    judged: Judged


class _Judge:
    """Judges rows with the reference head. Rows of the samples are left out, because the head was fitted to them."""

    def __init__(self, run: Run, head: ReferenceHead, numeric_class: NumericClass) -> None:
        self._run, self._head, self._numeric_class = run, head, numeric_class
        self._taught = set(run.tables.samples.inputs)

    @property
    def samples(self) -> Judged:
        """The samples. Each sample is judged by a head that was fitted without this sample."""
        return self._head.samples

    def new(self, inputs: Iterable[Input]) -> list[Input]:
        """Return the rows that are not samples."""
        return [row for row in inputs if row not in self._taught]

    def __call__(self, inputs: Iterable[Input]) -> Judged | None:
        """Judge the rows that are not samples. Returns None if there are fewer than two."""
        new = self.new(inputs)
        return self._head.judge(self._run.features(new, self._numeric_class)) if len(new) > 1 else None


def _reference(run: Run, judge: _Judge) -> _Reference:
    """Return the rows that the window is compared with: pool rows if there are any, else query rows, else the samples."""
    config = run.extracted.manifest["config"]
    rows = run.pool.draw(min(REFERENCE_ROWS, config.get("pool_rows", REFERENCE_ROWS)), config.get("seed", 0))
    if run.pool.size and (pool := judge(run.pool.inputs(rows))):
        return _Reference("unlabelled", pool)
    if query := judge(run.tables.query.inputs):
        return _Reference("query", query)
    return _Reference("samples", judge.samples)


def _compare(reference: _Reference, window: Judged, head: ReferenceHead, significance: float, seed: int) -> dict[str, Any]:
    import numpy as np
    from threadpoolctl import threadpool_limits

    from fsat_tasks.numerics.shift.class_shares import shares_apart
    from fsat_tasks.numerics.shift.drift import feature_shift, holm, label_shift, scope_rise

    old = reference.judged
    with threadpool_limits(1):  # so that the digits do not depend on the number of cores
        shifts = {"features": feature_shift(old.rows, window.rows, seed), "scope": scope_rise(old.outside, window.outside)}
        shares = None
        if reference.kind != "samples" and old.shares is not None and window.shares is not None:
            shifts["labels"] = label_shift(old.shares, window.shares, seed)
            shares = shares_apart(old.shares, window.shares, head.prior, seed)
    adjusted = holm(np.array([shift.p_value for shift in shifts.values()]))
    tests = [
        {
            "test": name,
            "figure": shift.figure,
            "by_chance": shift.by_chance,
            "p_value": shift.p_value,
            "adjusted_p_value": float(p_value),
            "drift": bool(p_value <= significance),
            "says": SENTENCES[name](shift, bool(p_value <= significance)),
            "detail": _statistics(name, shift, float(p_value)),
        }
        for (name, shift), p_value in zip(shifts.items(), adjusted, strict=True)
    ]
    return {
        "drift": any(test["drift"] for test in tests),
        "significance": significance,
        "window": {"rows": len(window)},
        "reference": {"kind": reference.kind, "rows": len(old), "says": REFERENCES[reference.kind]},
        "tests": tests,
        "out_of_scope": {"reference": float(old.outside.mean()), "window": float(window.outside.mean())},
        "total_variation": None
        if shares is None
        else {
            "estimate": shares.total_variation,
            "low": shares.total_variation_low,
            "high": shares.total_variation_high,
        },
        "classes": [] if shares is None else _classes(head.labels, shares),
    }


def _unlike(run: Run, inputs: list[Input], scope: Array) -> list[dict[str, Any]]:
    """Return the rows that are least like the samples, with their scope scores, the lowest first. No row is there twice."""
    lowest = sorted(dict(zip(inputs, scope.tolist(), strict=True)).items(), key=lambda row: row[1])[:UNLIKE]
    return [{"text": run.task.modality.show(row), "scope": score} for row, score in lowest]


def _differ(what: str, shift: Shift, drift: bool) -> str:
    """Say in a sentence how large a distance is, as a multiple of the mean distance over random permutations of the rows."""
    times = shift.figure / shift.by_chance if shift.by_chance > 0 else 0.0
    if not drift and times < LEAST_TIMES:
        return f"{what} no more than chance gives."
    return f"{what} {times:,.1f} times as much as chance gives on average: {_verdict(drift)}."


def _outside(shift: Shift, drift: bool) -> str:
    """Return a sentence about the texts out of scope."""
    shares = f"{PERCENT.show(shift.figure)} of the texts belong to none of the classes"
    more = f": {_verdict(drift)}" if drift or shift.figure > shift.by_chance else ""
    return f"{shares}, against {PERCENT.show(shift.by_chance)} in the reference{more}."


def _verdict(drift: bool) -> str:
    return "too much to be chance" if drift else "that may be chance"


LEAST_TIMES = 1.05
"""Ratio of the distance to its mean over random permutations. If there is no drift and the ratio is smaller than this, the
sentence says that the texts differ no more than by chance."""
SENTENCES: dict[str, Callable[[Shift, bool], str]] = {
    "features": lambda shift, drift: _differ("The texts differ from the reference", shift, drift),
    "labels": lambda shift, drift: _differ("The shares of the classes differ", shift, drift),
    "scope": _outside,
}
"""Test -> function that writes a sentence for people. Its arguments are the shift and whether the shift is drift."""
STATISTICS = {
    "features": "squared maximum mean discrepancy of the features",
    "labels": "chi-square distance of the class shares",
    "scope": "share of the texts out of scope",
}


def _statistics(name: str, shift: Shift, adjusted: float) -> str:
    """Return the statistics of one test, in one line."""
    by_chance = "in the reference" if name == "scope" else "by chance"
    p_values = f"p {shift.p_value:.3g}, with Holm's correction {adjusted:.3g}"
    return f"{STATISTICS[name]} {shift.figure:.2g}, {by_chance} {shift.by_chance:.2g}; {p_values}"


def _classes(labels: list[str], shares: SharesApart) -> list[dict[str, Any]]:
    """Return the share of each class in the reference and in the window, the largest change first."""
    rows = [
        {"label": label, "reference": float(before), "window": float(after), "window_low": float(low), "window_high": float(high)}
        for label, before, after, low, high in zip(labels, shares.reference, shares.window, shares.low, shares.high, strict=True)
    ]
    return sorted(rows, key=lambda row: -abs(row["window"] - row["reference"]))
