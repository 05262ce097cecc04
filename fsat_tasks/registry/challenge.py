"""Compare a new model, the challenger, with the champion on the same rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fsat_tasks.data.tables import Tables
from fsat_tasks.inputs.modality import Input
from fsat_tasks.models.settings import read_settings
from fsat_tasks.quality.comparison import compare_errors, compare_losses
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Store

__all__ = ["choose_opponent", "compare_with_champion", "former_target"]

log = logging.getLogger(__name__)


def choose_opponent(store: Store, champion: Mapping[str, Any] | None, model: Artefact) -> dict[str, Any] | None:
    """Return version and model of the champion that `model` is compared with, or None if there is no such champion.

    If `model` already is the champion, its opponent is the earlier champion, which `model` replaced.
    """
    if champion is None:
        return None
    if champion["model"]["digest"] != model.digest:
        return {"version": champion["version"], "model": champion["model"]}
    decision = store.find_named(champion["decision"])
    before = decision.json("decision.json").get("champion") if decision else None
    return before and {"version": before["version"], "model": before["model"]}


def former_target(run: Run, opponent: Mapping[str, Any]) -> str | None:
    """Return the name of the champion's target if it is not the challenger's, else None."""
    model = run.store.find_named(opponent["model"])
    if model is None:
        return None
    name = read_settings(model.path).target.name
    return name if name != run.target.name else None


def compare_with_champion(run: Run, opponent: Mapping[str, Any]) -> dict[str, Any] | None:
    """Compare the champion with a challenger on the rows that the challenger was evaluated on.

    The champion's predictions come from the evaluation in the run that made the champion. Query rows that were added or corrected
    after that evaluation are predicted now, by the published champion. Samples that were added after it are left out of the
    comparison: leave-one-out models predicted the samples in the evaluation, and the published model would not be comparable
    with them.

    Args:
        run: the challenger's run, with its data and its evaluation.
        opponent: `version` and `model` of the champion; see `choose_opponent`.

    Returns:
        `opponent` with the figures of `quality.comparison`, the challenger's accuracy on the compared rows, `missing`, the
        classes that the champion does not know, and `new_samples`, whether the samples differ from the champion's. None if the
        champion's files are gone, or if no row has both predictions, for example because the champion reads rows of another
        modality.
    """
    store, evaluated = run.store, run.evaluated
    model = store.find_named(opponent["model"])
    if model is None:
        log.warning("the champion's files are gone or altered: there is nothing to compare with")
        return None
    table = _predictions(evaluated)
    truth, new = table["label"], table["predicted"]
    evidence = evaluated.json("metrics.json")["evidence"]
    rows = run.tables.split("query" if evidence == "query" else "samples").at_lines(table["line"]).inputs
    answers = _answers(run, model, evidence, list(zip(rows, truth, strict=True)))
    shared = [i for i, row in enumerate(rows) if row in answers.given]
    if not shared:
        return None
    target, classes, within = run.target, run.head.labels, run.target.within(run.head.rule)
    labels = [truth[i] for i in shared]
    errors = target.errors(labels, [new[i] for i in shared], classes)
    before = target.errors(labels, [answers.given[rows[i]] for i in shared], classes)
    known = set(read_settings(model.path).rule.labels)
    losses = [(table["loss"][i], answers.losses[rows[i], truth[i]]) for i in shared if (rows[i], truth[i]) in answers.losses]
    return {
        **opponent,
        **compare_errors(errors, before, within, run.task.spec.seed),
        **compare_losses(losses, run.task.spec.seed),
        "challenger_accuracy": float((errors <= within).mean()),
        "missing": sorted({part for label in truth for part in target.parts(label)} - known),
        "new_samples": _has_new_samples(run, model),
    }


@dataclass(frozen=True)
class _Answers:
    """Answers of the champion."""

    given: dict[Input, str]
    """Row -> the answer."""
    losses: dict[tuple[Input, str], float]
    """Row and its label -> the loss of the champion's outputs; see `Target.losses`."""


def _answers(run: Run, model: Artefact, evidence: str, rows: list[tuple[Input, str]]) -> _Answers:
    """Return the champion's answers to these rows with their labels, as far as there are any."""
    known = _answers_in_evaluation(run.store, model, evidence)
    reads_them = read_settings(model.path).inputs == run.task.spec.inputs
    if evidence != "query" or not reads_them or not (new := [pair for pair in rows if pair not in known.losses]):
        return known
    fresh = _predict(run, model, new)
    return _Answers(fresh.given | known.given, fresh.losses | known.losses)


def _predict(run: Run, model: Artefact, rows: list[tuple[Input, str]]) -> _Answers:
    """Return the published champion's answers to these rows with their labels."""
    from fsat_tasks.models.served import ServedModel

    served = ServedModel(model.path, kept=run.kept)
    target, rule = served.target, served.rule
    outputs = served.run([row for row, _ in rows])[0]
    given = {row: answer for (row, _), answer in zip(rows, target.decide(outputs, rule), strict=True)}
    judged = [i for i, (_, label) in enumerate(rows) if set(target.parts(label)) <= set(rule.labels)]
    losses: list[float] = target.losses([rows[i][1] for i in judged], outputs[judged], rule).tolist() if judged else []
    return _Answers(given, {rows[i]: loss for i, loss in zip(judged, losses, strict=True)})


def _answers_in_evaluation(store: Store, model: Artefact, evidence: str) -> _Answers:
    """Return the answers that were given when the champion was evaluated.

    `evidence` is the kind of rows that the challenger was evaluated on: query rows or samples. There are no answers if the
    champion was evaluated on the other kind, or if the artefact of its evaluation is gone. Evaluations by older versions of fsat
    have no losses.
    """
    evaluated, validated = (_parent(store, model, step) for step in ("evaluate", "validate"))
    if evaluated is None or validated is None or evaluated.json("metrics.json")["evidence"] != evidence:
        return _Answers({}, {})
    table = _predictions(evaluated)
    rows = Tables(validated).split("query" if evidence == "query" else "samples").at_lines(table["line"]).inputs
    losses: dict[tuple[Input, str], float] = {}
    if "loss" in table:
        losses = dict(zip(zip(rows, table["label"], strict=True), table["loss"], strict=True))
    return _Answers(dict(zip(rows, table["predicted"], strict=True)), losses)


def _has_new_samples(run: Run, model: Artefact) -> bool:
    """Return whether samples were added, removed or corrected since the champion. Unknown counts as no."""
    validated = _parent(run.store, model, "validate")
    if validated is None:
        return False
    now, then = (set(zip(split.inputs, split.labels, strict=True)) for split in (run.tables.samples, Tables(validated).samples))
    return now != then


def _parent(store: Store, model: Artefact, step: str) -> Artefact | None:
    reference = model.manifest["parents"].get(step)
    return reference and store.find_named(reference)


def _predictions(evaluated: Artefact) -> dict[str, list[Any]]:
    """Return the columns of the predictions that an evaluation has written."""
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = pq.read_table(evaluated.path / "predictions.parquet").to_pydict()
    return columns
