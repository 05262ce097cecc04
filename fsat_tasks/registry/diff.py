"""Compare two models of a task: their predictions, their figures and the rows of their data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from fsat_tasks.data.pool import Pool
from fsat_tasks.data.tables import Split, Tables
from fsat_tasks.models.settings import read_settings
from fsat_tasks.registry.history import Entry
from fsat_tasks.registry.published import find_published
from fsat_tasks.registry.settings import changed_settings
from fsat_tasks.store import Artefact, Store
from fsat_tasks.targets.target import Rule, Target

__all__ = ["diff_models"]

SPLITS = ("samples", "query", "out_of_scope")

Json = dict[str, Any]


def diff_models(store: Store, task: str, before: Entry, after: Entry) -> Json:
    """Compare two models of the history on the rows that both were judged on: query rows or left-out samples.

    Rows are matched by what they are, even if their lines differ. If a row occurs several times, its n-th row in the old data is
    matched with its n-th row in the new data.

    Returns:
        - `task`, and `before` and `after`: version and model of each.
        - `figures`: name -> values before and after.
        - `targets`: names of both targets.
        - `compared`: number of rows that both models were judged on; 0 if their answers are of different kinds.
        - `changed`: those of the compared rows for which the two models give different answers.
        - `settings`: key of task.yaml -> its values before and after, for the keys whose values differ.
        - `data`: split -> rows that were added, removed or relabelled. Rows of the unlabelled pool are only counted.

    Raises:
        RegistryError: an artefact of either model is missing or altered.
    """
    (old_data, old_result), (new_data, new_result) = (_lineage(store, task, entry) for entry in (before, after))
    old_rows, new_rows = _judged_rows(old_data, old_result), _judged_rows(new_data, new_result)
    old_figures, new_figures = old_result.json("metrics.json"), new_result.json("metrics.json")
    opinion, targets = _opinion(store, task, before, after)
    models = (find_published(store, task, entry["model"]) for entry in (before, after))
    both = [] if opinion is None else [row for row in new_rows if row in old_rows]
    return {
        "task": task,
        "before": {name: before[name] for name in ("version", "model")},
        "after": {name: after[name] for name in ("version", "model")},
        "figures": {
            name: {"before": old_figures.get(name), "after": new_figures.get(name)} for name in {**old_figures, **new_figures}
        },
        "targets": [target.name for target in targets],
        "compared": len(both),
        "changed": [
            _change(row[0], old_rows[row], new_rows[row], opinion)
            for row in both
            if opinion is not None and not opinion.same(old_rows[row]["predicted"], new_rows[row]["predicted"])
        ],
        "settings": changed_settings(store, *models),
        "data": {} if old_data.digest == new_data.digest else _data_changes(store, old_data, new_data),
    }


def _lineage(store: Store, task: str, entry: Entry) -> tuple[Artefact, Artefact]:
    """Return the artefacts of `validate` and `evaluate` from which a model was made."""
    model = find_published(store, task, entry["model"])
    return find_published(store, task, model.parent("validate")), find_published(store, task, model.parent("evaluate"))


def _judged_rows(validated: Artefact, evaluated: Artefact) -> dict[tuple[str, int], Json]:
    """Return (row, n) -> its prediction in predictions.parquet, for the n-th time that this row occurs."""
    import pyarrow.parquet as pq

    evidence = evaluated.json("metrics.json")["evidence"]
    inputs = Tables(validated).split("query" if evidence == "query" else "samples").by_line()
    seen: Counter[str] = Counter()
    rows: dict[tuple[str, int], Json] = {}
    for row in pq.read_table(evaluated.path / "predictions.parquet").to_pylist():
        one = inputs[row["line"]]
        seen[one] += 1
        rows[one, seen[one]] = row
    return rows


@dataclass(frozen=True)
class _Opinion:
    """Judgement of answers: whether two are the same, and whether one is right."""

    target: Target
    rule: Rule

    def same(self, one: str, other: str) -> bool:
        return self.target.distance(one, other, self.rule.labels) <= self.target.unnoticed(self.rule)

    def right(self, row: Json) -> bool:
        return self.target.distance(row["label"], row["predicted"], self.rule.labels) <= self.target.within(self.rule)


def _opinion(store: Store, task: str, before: Entry, after: Entry) -> tuple[_Opinion | None, list[Target]]:
    """Return the opinion of the second model, or None if the two models have different targets; and both targets."""
    old, new = (read_settings(find_published(store, task, entry["model"]).path) for entry in (before, after))
    targets = [old.target, new.target]
    if targets[0].name != targets[1].name:
        return None, targets
    # a grade that only the old model knows has a place too
    labels = targets[1].order({*old.rule.labels, *new.rule.labels}) if new.rule.labels else []
    return _Opinion(targets[1], replace(new.rule, labels=labels)), targets


def _change(text: str, old: Json, new: Json, opinion: _Opinion) -> Json:
    was_right, is_right = opinion.right(old), opinion.right(new)
    effect = "relabelled" if old["label"] != new["label"] else "fixed" if is_right else "broken" if was_right else "still wrong"
    return {
        "text": text,
        "line": new["line"],
        "label": new["label"],
        "label_before": old["label"],
        "before": old["predicted"],
        "probability_before": old["probability"],
        "after": new["predicted"],
        "probability_after": new["probability"],
        "effect": effect,
    }


def _data_changes(store: Store, old: Artefact, new: Artefact) -> Json:
    before, after = Tables(old), Tables(new)
    changes = {split: _row_changes(_count(before.split(split)), _count(after.split(split))) for split in SPLITS}
    return {**changes, "unlabelled": _pool_changes(Pool(old, store), Pool(new, store))}


def _count(rows: Split) -> Counter[tuple[str, str | None]]:
    """Count rows by (row, label). The label is None in an unlabelled split."""
    labels: list[str | None] = [*rows.labels] or [None] * len(rows)
    return Counter(zip(rows.inputs, labels, strict=True))


def _row_changes(old: Counter[tuple[str, str | None]], new: Counter[tuple[str, str | None]]) -> Json:
    went: dict[str, list[str | None]] = {}
    for text, label in (old - new).elements():
        went.setdefault(text, []).append(label)
    came, relabelled = [], []
    for text, label in (new - old).elements():
        if went.get(text):
            relabelled.append({"text": text, "before": went[text].pop(0), "after": label})
        else:
            came.append({"text": text, "label": label})
    gone = [{"text": text, "label": label} for text, labels in went.items() for label in labels]
    return {"came": came, "went": gone, "relabelled": relabelled}


def _pool_changes(old: Pool, new: Pool) -> Json:
    """Count the distinct pool rows that were added and removed.

    Rows are compared by their 64-bit hashes, because the hashes of a million rows take only 8 MB.
    """
    import numpy as np

    before, after = old.hashes(), new.hashes()
    return {"came": np.setdiff1d(after, before).size, "went": np.setdiff1d(before, after).size}
