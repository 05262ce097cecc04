"""Approval of promotions by a person.

This module decides whether a person must agree before the champion moves. It writes the page that the person sees, and carries
out the person's answer.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from fsat_tasks.integrations.mlflow import track
from fsat_tasks.models.settings import find_graph, read_settings
from fsat_tasks.quality.gates import TITLES, GateDecision, all_gates
from fsat_tasks.quality.wording import FIGURES, Unit, minute, plural
from fsat_tasks.registry.registry import Registry
from fsat_tasks.registry.standing import find_standing
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
"""Hours for which the store keeps a decision after the answer's deadline, so that a worker can still carry out the answer."""


def awaits_approval(task: Task, store: Store, published: Artefact) -> bool:
    """Return whether a person must still approve the decision in `published`.

    That is the case if the task requires approval, nobody has approved yet, and the decision would move the champion.
    """
    decision = published.json("decision.json")
    if not task.spec.approval or task.approved or task.dry_run or not decision["promote"]:
        return False
    champion = Registry(store.root, task.name).champion()
    return champion is None or champion["model"]["digest"] != decision["model"]["digest"]


def record(run: Run, published: Artefact, replaces: int) -> str:
    """Record a run's decision in the registry and return the outcome. A model that awaits approval is held."""
    hold = NOT_APPROVED if awaits_approval(run.task, run.store, published) else ""
    return _enter(run.task, run.store, published, replaces, hold)


def settle(task: Task, key: str, replaces: int, approved: bool) -> Artefact:
    """Carry out a person's answer, even if the data or task.yaml have changed since the question.

    Args:
        key: the decision's key in the store.
        replaces: the champion's version when the person was asked.
        approved: the answer.

    Returns:
        the decision's artefact.

    Raises:
        ChampionChangedError: the person approved, but the champion has moved since the question.
        StoreError: the decision or its model is no longer in the store.
    """
    store = Store(Workspace.from_env().store)
    published = store.require({"step": "publish", "key": key}, "the decision that was asked about")
    outcome = _enter(task, store, published, replaces, "" if approved else NOT_APPROVED)
    answer = "approved" if approved else NOT_APPROVED
    log.info("%s: %s, %s; report: %s", task.name, answer, outcome, published.path / "report.html")
    return published


def keep_until_answered(task: Task, store: Store, published: Artefact) -> None:
    """Protect a decision that awaits an answer, and its inputs, from housekeeping, because the history does not name it yet.

    The protection ends HOURS_TO_ACT hours after the deadline for the answer.
    """
    store.keep_until(published, time.time() + (task.spec.approval_hours + HOURS_TO_ACT) * 3600)


def _enter(task: Task, store: Store, published: Artefact, replaces: int, hold: str) -> str:
    model = store.require(published.json("decision.json")["model"], "the model that was decided about")
    outcome = Registry(store.root, task.name).record(model, published, replaces, hold)
    graph = find_graph(model.path, read_settings(model.path).served)
    track(task, published, model, graph, outcome)
    return outcome


def find_artefact(store: Store, step: str, key: str) -> Artefact:
    """Find the artefact of a step by its key. Raises StoreError if the artefact is gone."""
    return store.require({"step": step, "key": key}, "an artefact of the decision")


def approval_page(task: Task, store: Store, published: Artefact) -> str:
    """Return the page for the approver, as Markdown.

    The comparison with the champion comes first, then a link to the report, and the figures of both. Gates that passed share one
    line; gates that hold the model have a table with their reasons.
    """
    decision, registry = published.json("decision.json"), Registry(store.root, task.name)
    standing = find_standing(registry, decision["model"]["digest"])
    made = minute(datetime.fromisoformat(published.manifest["created"]))
    return "\n\n".join(
        [
            f"{_plain(_compared(all_gates(published)))} {standing.say(decision['promote'], approval=True)}",
            f"[Report]({report_link(published.key)}) of {made}: `{published.path / 'report.html'}`",
            _figures(decision["metrics"], registry.champion()),
            *_gates(all_gates(published)),
            f"No answer within {task.spec.approval_hours:g} hours counts as a no, and the champion stays.",
        ]
    )


def _compared(gates: Sequence[GateDecision]) -> str:
    """Return the sentence that compares the model with the champion, or with the frozen baseline if there is no champion."""
    reasons = {gate.gate: gate.reason for gate in gates}
    return next(reasons[name] for name in ("champion", "target", "baseline") if name in reasons)


def _figures(metrics: Mapping[str, Any], champion: Mapping[str, Any] | None) -> str:
    before = champion["metrics"] if champion else {}
    figures = [
        (title, _number(metrics.get(name), unit), _number(before.get(name), unit))
        for name, (title, unit) in FIGURES.items()
        if name in metrics
    ]
    return _table(("figure", "this model", f"champion v{champion['version']}" if champion else "no champion yet"), figures)


def _gates(gates: Sequence[GateDecision]) -> Iterator[str]:
    """Yield a table of the gates that hold the model, and one line about those that passed."""
    held, passed = [gate for gate in gates if not gate.promote], [gate for gate in gates if gate.promote]
    if held:
        yield _table(("held", "reason"), [(TITLES.get(gate.gate, gate.gate), gate.reason) for gate in held])
    if passed:
        yield f"{plural(len(passed), 'gate')} passed: {', '.join(TITLES.get(gate.gate, gate.gate) for gate in passed)}."


def report_link(key: str) -> str:
    """Return the path of the report on Airflow's api-server, where dags/plugins/fsat_reports.py serves it."""
    return f"fsat/reports/{key}"


def _number(value: Any, unit: Unit) -> str:
    return "-" if value is None else unit.show(value)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(map(_plain, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Escape a text for a Markdown table, because a label in a reason may contain any character."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(text.split()))
