"""Compare a new model, the challenger, with the champion on the same rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fsat_tasks.data.tables import Tables
from fsat_tasks.quality.comparison import compare_accuracy
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Store

__all__ = ["choose_opponent", "compare_with_champion"]

log = logging.getLogger(__name__)


def choose_opponent(store: Store, champion: Mapping[str, Any] | None, model: Artefact) -> dict[str, Any] | None:
    """Return version and model of the champion that `model` is compared with, or None if there is no such champion.

    If `model` already is the champion, its opponent is the earlier champion, which `model` replaced.
    """
    if champion is None:
        return None
    if champion["model"]["digest"] != model.digest:
        return {"version": champion["version"], "model": champion["model"]}
    decision = store.find(champion["decision"]["step"], champion["decision"]["key"])
    before = decision.json("decision.json").get("champion") if decision else None
    return before and {"version": before["version"], "model": before["model"]}


def compare_with_champion(run: Run, opponent: Mapping[str, Any]) -> dict[str, Any] | None:
    """Compare the champion with a challenger on the rows that the challenger was evaluated on.

    The champion's predictions come from the evaluation in the run that made the champion. Query rows that were added after that
    evaluation are predicted now, by the published champion. Samples that were added after it are left out of the comparison:
    leave-one-out models predicted the samples in the evaluation, and the published model would not be comparable with them.

    Args:
        run: the challenger's run, with its data and its evaluation.
        opponent: `version` and `model` of the champion; see `choose_opponent`.

    Returns:
        `opponent` with the figures of `quality.comparison`, the challenger's accuracy on the compared rows, and `missing`, the
        classes that the champion does not know. None if the champion's files are gone, or if no row has both predictions.
    """
    import numpy as np
    import pyarrow.parquet as pq

    store, evaluated = run.store, run.evaluated
    model = store.find(opponent["model"]["step"], opponent["model"]["key"])
    if model is None or model.digest != opponent["model"]["digest"]:
        log.warning("the champion's files are gone or altered: there is nothing to compare with")
        return None
    table = pq.read_table(evaluated.path / "predictions.parquet").to_pydict()
    truth, new = np.array(table["label"]), np.array(table["predicted"])
    evidence = evaluated.json("metrics.json")["evidence"]
    texts = run.tables.split("query" if evidence == "query" else "samples").at_lines(table["line"]).texts
    answers = _known_answers(store, model, evidence)
    if evidence == "query" and (new_texts := [text for text in texts if text not in answers]):
        answers |= dict(zip(new_texts, _answers(run, model, new_texts), strict=True))
    old = np.array([answers.get(text, "") for text in texts])
    shared = old != ""
    if not shared.any():
        return None
    right = (new == truth)[shared]
    known = set(model.json("config.json")["labels"])
    return {
        **opponent,
        **compare_accuracy(right, (old == truth)[shared], run.task.spec.seed),
        "challenger_accuracy": float(right.mean()),
        "missing": sorted(set(truth.tolist()) - known),
    }


def _answers(run: Run, model: Artefact, texts: list[str]) -> list[str]:
    from fsat_tasks.models.served import ServedModel

    served = ServedModel(model.path, kept=run.kept)
    return [served.labels[i] for i in served.run(texts)[0].argmax(axis=1)]


def _known_answers(store: Store, model: Artefact, evidence: str) -> dict[str, str]:
    """Return text -> the label that was predicted for it when the champion was evaluated.

    `evidence` is the kind of rows that the challenger was evaluated on: query rows or samples. The result is empty if the
    champion was evaluated on the other kind, or if the artefact of its evaluation is gone.
    """
    import pyarrow.parquet as pq

    parents = [model.manifest["parents"].get(step) for step in ("evaluate", "validate")]
    evaluated, validated = (parent and store.find(parent["step"], parent["key"]) for parent in parents)
    if evaluated is None or validated is None or evaluated.json("metrics.json")["evidence"] != evidence:
        return {}
    table = pq.read_table(evaluated.path / "predictions.parquet").to_pydict()
    rows = Tables(validated).split("query" if evidence == "query" else "samples").at_lines(table["line"])
    return dict(zip(rows.texts, table["predicted"], strict=True))
