"""Tune one small task and judge every rung that was tried, whether it was taken or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.data import class_name
from benchmarks.ladder.draws import Draw, SetRows
from fsat_tasks.encoders.encoder import Encoder
from fsat_tasks.encoders.source import EncoderSource
from fsat_tasks.numerics.geometry.layers import mix_layers
from fsat_tasks.numerics.heads.one_label import OneLabel
from fsat_tasks.numerics.types import Array, Features, Labels
from fsat_tasks.tuning.fine_tuning import encode_rows, load_torch_encoder
from fsat_tasks.tuning.ladder import LADDER, run_ladder
from fsat_tasks.tuning.material import Material, Pool, Rows
from fsat_tasks.tuning.state import LadderSettings, Rung, Setup, State
from fsat_tasks.tuning.trial import Fit, Skipped, TraceEntry, Trial

__all__ = ["JudgedRung", "Task", "judge_rungs", "load_task"]


@dataclass(frozen=True)
class Task:
    """Rows of a small task with their features."""

    material: Material
    query: Rows
    truth: Labels  # (queries,)


@dataclass(frozen=True)
class JudgedRung:
    """A rung that was tried: what the rule decided, its evidence on the shots, and its answers to the query."""

    entry: TraceEntry
    trial: Trial
    logits: Array  # (queries, classes), calibrated


def load_task(rows: SetRows, draw: Draw, features: Features, encoder: Encoder, source: EncoderSource) -> Task:
    """Return the task of a draw.

    Args:
        rows: rows of the set.
        draw: the draw.
        features: (n, layers, dim), features of the set's rows.
        encoder: the pretrained encoder.
        source: where its weights are.
    """
    names = [class_name(rows.classes[one]) for one in draw.classes]

    def part(numbers: Labels) -> Rows:
        return Rows(np.asarray(features[numbers]), encoder.prepare([rows.texts[one] for one in numbers]))

    def labels(numbers: Labels) -> Labels:
        return np.searchsorted(draw.classes, rows.labels[numbers]).astype(np.int64)

    anchors = Rows(encoder.encode(names, "all"), encoder.prepare(names))
    answers = OneLabel(labels(draw.shots), len(draw.classes))
    material = Material(source, part(draw.shots), answers, anchors, Pool(part(draw.pool)))
    return Task(material, part(draw.query), labels(draw.query))


def judge_rungs(task: Task, settings: LadderSettings, ladder: Sequence[Rung] = LADDER) -> list[JudgedRung]:
    """Run the ladder, fit also the rungs that it did not take, and let all of them answer the query."""
    trials: dict[str, Trial] = {}

    def kept(rung: Rung) -> Rung:
        def attempt(setup: Setup, state: State) -> tuple[Trial | Skipped, State]:
            result, state = rung.attempt(setup, state)
            if isinstance(result, Trial):
                trials[rung.name] = result
            return result, state

        return replace(rung, attempt=attempt)

    trace = run_ladder(task.material, settings, [kept(rung) for rung in ladder]).trace
    fits = {name: trial.fit() for name, trial in trials.items()}
    encoded = {id(None): task.query.features}  # by the weights, which two rungs may share
    found = []
    for entry in (entry for entry in trace if entry.name in trials):
        fit = fits[entry.name]
        if id(fit.weights) not in encoded:
            encoder = load_torch_encoder(task.material.source, "cpu", fit.weights)
            encoded[id(fit.weights)] = encode_rows(encoder, task.query.prepared, exact=False)
        found.append(JudgedRung(entry, trials[entry.name], _answer(fit, encoded[id(fit.weights)])))
    return found


def _answer(fit: Fit, query: Features) -> Array:
    """Return the calibrated logits of the query rows, (queries, classes)."""
    logits: Array = fit.head.logits(mix_layers(query, fit.layers)) / fit.held_out.temperature
    return logits
