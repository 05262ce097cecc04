"""Approval: whether a person has to agree before the champion moves, what they are shown, and what their answer does."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from typing import Any

from fsat_tasks.integrations.mlflow import track
from fsat_tasks.quality.gates import all_gates
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runs.run import Run
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task
from fsat_tasks.tasks.workspace import Workspace

__all__ = [
    "NOT_APPROVED",
    "approval_page",
    "awaits_approval",
    "find_artefact",
    "keep_until_answered",
    "record",
    "report_link",
    "settle",
]

log = logging.getLogger(__name__)

NOT_APPROVED = "not approved"
HOURS_TO_ACT = 24
"""For which the answered decision may wait for a worker."""
FIGURES = ("accuracy", "macro_f1", "min_class_recall", "ece")


def awaits_approval(task: Task, store: Store, published: Artefact) -> bool:
    """Whether the decision would move the champion, which this task does only with a yes that nobody has given yet."""
    decision = published.json("decision.json")
    if not task.spec.approval or task.approved or task.dry_run or not decision["promote"]:
        return False
    champion = Registry(store.root, task.name).champion()
    return champion is None or champion["model"]["digest"] != decision["model"]["digest"]


def record(run: Run, published: Artefact, replaces: int) -> str:
    """Enter a run's decision in the registry: as it says, or as held if it still awaits approval. Returns the outcome."""
    hold = NOT_APPROVED if awaits_approval(run.task, run.store, published) else ""
    return _enter(run.task, run.store, published, replaces, hold)


def settle(task: Task, key: str, replaces: int, approved: bool) -> Artefact:
    """Do what a person answered about the decision of this key, whatever the data and task.yaml have become since.

    Raises:
        ChampionChangedError: where they approved, and another run has moved the champion since they were asked.
        StoreError: where the decision or its model is no longer in the store.
    """
    store = Store(Workspace.from_env().store)
    published = store.require({"step": "publish", "key": key}, "the decision that was asked about")
    outcome = _enter(task, store, published, replaces, "" if approved else NOT_APPROVED)
    answer = "approved" if approved else NOT_APPROVED
    log.info("%s: %s, %s; report: %s", task.name, answer, outcome, published.path / "report.html")
    return published


def keep_until_answered(task: Task, store: Store, published: Artefact) -> None:
    """Have housekeeping keep a decision that a person is asked about, and what it is made of: no history has it yet."""
    store.keep_until(published, time.time() + (task.spec.approval_hours + HOURS_TO_ACT) * 3600)


def _enter(task: Task, store: Store, published: Artefact, replaces: int, hold: str) -> str:
    model = store.require(published.json("decision.json")["model"], "the model that was decided about")
    outcome = Registry(store.root, task.name).record(model, published, replaces, hold)
    track(task, published, model, outcome)
    return outcome


def find_artefact(store: Store, step: str, key: str) -> Artefact:
    """An artefact that was made before. Raises StoreError where it is gone."""
    return store.require({"step": step, "key": key}, "what was decided about")


def approval_page(task: Task, store: Store, published: Artefact) -> str:
    """Markdown: the gates, the figures beside the champion's, and where the report is."""
    decision = published.json("decision.json")
    gates = [
        (gate.gate, "promote" if gate.promote else "hold", f"{gate.figure:.4g}", f"{gate.bound:.4g}", gate.reason)
        for gate in all_gates(published)
    ]
    champion = Registry(store.root, task.name).champion()
    head = f"champion v{champion['version']}" if champion else "no champion yet"
    before = champion["metrics"] if champion else {}
    figures = [(name, _number(decision["metrics"].get(name)), _number(before.get(name))) for name in FIGURES]
    return "\n\n".join(
        [
            _table(("gate", "decision", "figure", "bound", "reason"), gates),
            _table(("figure", "this model", head), figures),
            f"[Report]({report_link(published.key)}): `{published.path / 'report.html'}`",
            f"No answer within {task.spec.approval_hours:g} hours is a no: the champion stays.",
        ]
    )


def report_link(key: str) -> str:
    """Where Airflow's api-server has the report of this decision, from the root of its pages: dags/plugins/fsat_reports.py."""
    return f"fsat/reports/{key}"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(map(_plain, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """A label in a reason may have any letter: none of them is Markdown or a new line of the table."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(text.split()))
