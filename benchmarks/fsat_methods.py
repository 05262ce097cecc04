"""The three methods of the benchmark that are fsat's own.

Two methods call the public `FewShotClassifier`. The third method applies, unchanged, the two rules of this project's founding
text.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from benchmarks.data import SplitRows
from benchmarks.features import CachedEncoder
from benchmarks.outcome import Context, Outcome
from fsat_tasks.encoders.encoder import load_encoder
from fsat_tasks.numerics.heads.probe import LinearHead

__all__ = ["fsat_frozen", "fsat_ladder", "fsat_literal"]

Array = NDArray[np.float64]

LITERAL_STRENGTH = 0.1
"""Value of alpha and beta, which the founding text does not give. With the value 1, the norm of every class vector explodes."""


def fsat_frozen(rows: SplitRows, context: Context) -> Outcome:
    """Run only the rungs (stages of tuning) that keep the encoder frozen."""
    from fsat_tasks.tuning.ladder import FROZEN_RUNGS

    return _classifier(rows, context, FROZEN_RUNGS)


def fsat_ladder(rows: SplitRows, context: Context) -> Outcome:
    """Run all rungs. A rung is taken only if the evidence on the shots shows that it helps."""
    return _classifier(rows, context, None)


def _classifier(rows: SplitRows, context: Context, rungs: tuple[str, ...] | None) -> Outcome:
    from fsat_tasks import FewShotClassifier

    known = CachedEncoder(load_encoder(context.encoder), context.features, context.set_folder)

    class OnKnownFeatures(FewShotClassifier):
        def _load_encoder(self) -> Any:
            return known

    classifier = OnKnownFeatures(encoder=context.encoder, rungs=rungs, budget_seconds=context.budget_seconds, seed=context.seed)
    labels = [rows.classes[i] for i in rows.labels]
    unlabelled = rows.unlabelled if context.track == "semi-supervised" else None
    classifier.fit(rows.texts, labels, unlabelled=unlabelled)
    seconds = dict(classifier.fit_seconds_)
    columns = [list(classifier.classes_).index(label) for label in rows.classes]
    answering, shifted = classifier, None
    if context.track == "transductive":
        started = time.perf_counter()
        answering = classifier.adapt(rows.query)
        seconds["adapt"] = time.perf_counter() - started
        shifted = []
        for shift in rows.shifts:
            texts = [rows.query[i] for i in shift.rows]
            shifted.append(classifier.adapt(texts).predict_proba(texts)[:, columns])
    return Outcome(
        probabilities=answering.predict_proba(rows.query)[:, columns],
        scope=np.asarray(answering.score_samples(rows.query)),
        out_of_scope=np.asarray(answering.score_samples(rows.out_of_scope)) if rows.out_of_scope else np.empty(0),
        train_seconds=seconds["total"] - seconds["features"] + seconds.get("adapt", 0.0),
        extract_seconds=known.seconds(rows.texts + (unlabelled or [])),
        shifted=shifted,
        details={"seconds": seconds, "trace": classifier.trace_},
    )


def fsat_literal(rows: SplitRows, context: Context) -> Outcome:
    """Run the two rules of the founding text on last-layer features, starting at the features of the class names.

    The second rule needs a vector y. It is the mean of the unlabelled texts that the track provides. In a track without
    unlabelled texts, the second rule is not applied.
    """
    from benchmarks.literal import geometric_tuning

    x, extract_seconds = context.shots(rows)
    path = context.set_folder / f"{rows.source}.jsonl"
    names = np.asarray(context.features.load_names(path, rows.classes)[:, -1], np.float64)  # (classes, dim)
    query = context.last_layer("test")
    pool = {"semi-supervised": "train", "transductive": "test"}.get(context.track)
    seen = context.last_layer(pool) if pool else None
    started = time.perf_counter()
    tuned = geometric_tuning(x, rows.labels, names, LITERAL_STRENGTH)
    head = _adjusted(tuned, seen)
    seconds = time.perf_counter() - started
    probabilities = softmax(head.logits(query), axis=1)
    outside = softmax(head.logits(context.last_layer("oos_test")), axis=1).max(axis=1) if rows.out_of_scope else np.empty(0)
    shifted = None
    if context.track == "transductive":
        asked = [query[shift.rows] for shift in rows.shifts]
        shifted = [softmax(_adjusted(tuned, texts).logits(texts), axis=1) for texts in asked]
    return Outcome(probabilities, probabilities.max(axis=1), outside, seconds, extract_seconds, shifted=shifted)


def _adjusted(head: LinearHead, unlabelled: Array | None) -> LinearHead:
    from benchmarks.literal import adaptive_adjustment

    return head if unlabelled is None else adaptive_adjustment(head, unlabelled, LITERAL_STRENGTH)
