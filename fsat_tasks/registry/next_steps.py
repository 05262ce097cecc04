"""Words for a person at the end of a run: one sentence of what happened, and the commands that come next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsat_tasks.quality.comparison import fewest_gained
from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.quality.wording import POINTS, plural
from fsat_tasks.registry.endings import Ending
from fsat_tasks.registry.history import Entry, newest_run
from fsat_tasks.registry.standing import Standing

__all__ = ["KEY_LETTERS", "Decided", "NextSteps", "after_history", "after_move", "after_run", "before_record", "rows_hint"]

KEY_LETTERS = 8
"""Number of characters by which a model's key is shown."""


@dataclass(frozen=True)
class NextSteps:
    """Sentence of what happened, and the commands that may follow."""

    says: str
    """One sentence of what happened."""
    commands: tuple[tuple[str, str], ...]
    """Commands that work as they are, each with what it is for."""
    hint: str = ""
    """Sentence of what would have made a difference; empty if there is nothing to say."""

    def to_json(self) -> dict[str, Any]:
        commands = [{"command": command, "for": purpose} for command, purpose in self.commands]
        return {"says": self.says, "hint": self.hint or None, "next": commands}


@dataclass(frozen=True)
class Decided:
    """A run's decision and what became of it."""

    task: str
    ending: Ending
    decision: Mapping[str, Any]
    """Content of decision.json."""
    gates: Sequence[GateDecision]
    """All gates, those on timings included."""
    champion: Entry | None
    """The champion's entry after the run."""
    before: int = 0
    """The champion's version before the run; 0 if there was none."""

    @property
    def key(self) -> str:
        """Beginning of the model's key."""
        return str(self.decision["model"]["key"][:KEY_LETTERS])

    @property
    def version(self) -> int:
        """The champion's version after the run; 0 if there is none."""
        return int(self.champion["version"]) if self.champion else 0

    @property
    def is_champion(self) -> bool:
        """True if the model is the champion after the run."""
        return self.champion is not None and bool(self.champion["model"]["digest"] == self.decision["model"]["digest"])

    @property
    def stays(self) -> str:
        """Part of a sentence: which model is the champion if not this one."""
        return f"version {self.version} stays the champion" if self.version else "there is no champion yet"


def after_run(run: Decided, again: str = "") -> NextSteps:
    """Say how a run ended.

    Args:
        run: the decision and what became of it.
        again: command line that makes the same run, without --approve and --dry-run; by default `fsat run TASK`.
    """
    again = again or f"fsat run {run.task}"
    match run.ending:
        case Ending.promoted:
            return _promoted(run)
        case Ending.unchanged:
            return NextSteps(f"This model is the champion already, version {run.version}.", _use(run.task))
        case Ending.held:
            return _held(run, again)
        case Ending.overruled:
            says = f"The model did not pass {_held_by(run)}, but a person made it the champion: version {run.version} stays."
            return NextSteps(says, (*_use(run.task)[:1], (f"fsat history {run.task}", "see who promoted it, and why")))
        case Ending.asked:
            says = f"All gates passed, but a person must approve the model before it is used; {run.stays}."
            return NextSteps(says, (_report(run.task), (f"{again} --approve", "approve the model")))
        case Ending.kept:
            return _kept(run)
        case Ending.would_promote if run.is_champion:
            return NextSteps(f"Dry run: this model is the champion already, version {run.version}.", _use(run.task))
        case Ending.would_promote:
            says = "Dry run: all gates passed, and nothing was published."
            return NextSteps(says, ((again, "publish the model"),))
        case Ending.would_hold:
            says = f"Dry run: the model did not pass {_held_by(run)}, and nothing was published."
            commands = (again, "enter the model in the history"), *_by_another_rule(again, run.decision, run.gates)
            return NextSteps(says, commands, rows_hint(run.decision, run.gates))


def before_record(
    task: str, decision: Mapping[str, Any], gates: Sequence[GateDecision], standing: Standing, approval: bool
) -> NextSteps:
    """Say what becomes of a model whose decision is not recorded yet, as a report does.

    Args:
        task: name of the task.
        decision: content of decision.json.
        gates: all gates, those on timings included.
        standing: the model's place in the registry.
        approval: whether a person must approve the model.
    """
    promote, key = bool(decision["promote"]), decision["model"]["key"][:KEY_LETTERS]
    says = standing.say(promote, approval)
    if standing.is_champion:
        return NextSteps(says, _use(task)[:1])
    compare = (_diff(task, standing.champion, key),) if standing.champion else ()
    if promote:
        return NextSteps(says, (*compare, (f"fsat history {task}", "see whether the model was promoted, and by whom")))
    commands = (*compare, _promote(task, key), *_by_another_rule(f"fsat run {task}", decision, gates))
    return NextSteps(says, commands, rows_hint(decision, gates))


def after_move(task: str, before: int, after: int) -> NextSteps:
    """Say how a promotion or a rollback by hand ended, from the champion's versions before and after it."""
    if before == after:
        return NextSteps(f"{task}: the champion is version {after} already.", _use(task))
    if not before:
        return NextSteps(f"{task}: the champion is version {after}.", _use(task))
    undo = (f"fsat promote {task} {before}", "undo it")
    return NextSteps(f"{task}: the champion is version {after}, was version {before}.", (_diff(task, before, after), undo))


def after_history(task: str, history: Sequence[Entry], champion: Entry | None) -> NextSteps:
    """Say what the newest run has made, and what may be done with it."""
    newest = newest_run(history)
    if newest is None or champion is None:
        held = newest and newest["model"]["key"][:KEY_LETTERS]
        says = "There is no champion yet: the newest model was held." if held else "There is no model yet."
        return NextSteps(says, (_report(task), _promote(task, held)) if held else ((f"fsat run {task}", "make one"),))
    if newest["model"]["digest"] == champion["model"]["digest"]:
        return NextSteps(f"The newest model is the champion, version {champion['version']}.", _use(task))
    key = newest["model"]["key"][:KEY_LETTERS]
    says = f"The champion is version {champion['version']}; the newest model, {key}, is not in use."
    return NextSteps(says, (_diff(task, champion["version"], key), _promote(task, key)))


def rows_hint(decision: Mapping[str, Any], gates: Sequence[GateDecision]) -> str:
    """Say how many rows would have shown the difference to the champion, if only its gate holds the model; else nothing."""
    held, old = [gate for gate in gates if not gate.promote], decision["champion"] or {}
    if [gate.gate for gate in held] != ["champion"] or "lost" not in old or old["missing"]:
        return ""
    if old.get("rule", "better") != "better":  # the other rules of `gates.replace_if` do not count right answers
        return ""
    significance = held[0].bound
    kind = "query row" if decision["metrics"].get("evidence") == "query" else "sample"
    rows, gained, lost = old["rows"], old["gained"], old["lost"]
    if gained > lost:
        return _enough_rows(rows, gained, lost, significance, kind)
    least, wrong = fewest_gained(0, significance), round((1 - old["accuracy"]) * rows)
    smallest = f"On {plural(rows, kind)}, a model must get at least {least} more right ({POINTS.show(least / rows)}) to be better"
    if "mae" in decision["metrics"] or wrong >= least:  # an answer may come nearer to a number without being wrong before
        return f"{smallest} beyond chance. This one did not get more right than the champion, so more rows may not help."
    had = f"the champion has only {wrong} wrong" if wrong else "the champion has all of them right"
    more = f", at least {math.ceil(least * rows / wrong):,} of them" if wrong else ""
    so = f"So no model can replace it by the rule `better`: add {kind}s{more}, or promote by hand."
    return f"{smallest} beyond chance, but {had}. {so}"


def _enough_rows(rows: int, gained: int, lost: int, significance: float, kind: str) -> str:
    from fsat_tasks.numerics.evidence.paired_power import rows_to_see

    seen = f"The gain of {POINTS.show((gained - lost) / rows)} is too small to tell from chance on {plural(rows, kind)}"
    needed = rows_to_see(gained / rows, lost / rows, significance)
    if needed is None:
        return f"{seen}, and on a million too."
    digits = 10 ** max(len(str(needed)) - 2, 0)
    return f"{seen}. If it is real, about {math.ceil(needed / digits) * digits:,} would show it in four of five cases."


def _promoted(run: Decided) -> NextSteps:
    if not run.before:
        return NextSteps(f"The model is the champion now, version {run.version}.", _use(run.task))
    says = f"The model is the champion now, version {run.version}, in place of version {run.before}."
    back = (f"fsat promote {run.task} {run.before}", "go back")
    return NextSteps(says, (_diff(run.task, run.before, run.version), back))


def _held(run: Decided, again: str) -> NextSteps:
    says = f"The model was held, because it did not pass {_held_by(run)}; {run.stays}."
    first = _diff(run.task, run.version, run.key) if run.version else _report(run.task)
    commands = first, _promote(run.task, run.key), *_by_another_rule(again, run.decision, run.gates)
    return NextSteps(says, commands, rows_hint(run.decision, run.gates))


def _by_another_rule(again: str, decision: Mapping[str, Any], gates: Sequence[GateDecision]) -> tuple[tuple[str, str], ...]:
    """Return the command that promotes the model after a change of task.yaml, if only the rule `better` holds it."""
    rules = (decision["champion"] or {}).get("other_rules", [])
    if not rules or [gate.gate for gate in gates if not gate.promote] != ["champion"]:
        return ()
    return ((again, f"once task.yaml has gates: {{replace_if: {rules[-1]}}}"),)


def _kept(run: Decided) -> NextSteps:
    says = f"All gates passed, but {run.stays}, because a person chose it and this model was promoted before."
    return NextSteps(says, (_diff(run.task, run.version, run.key), _promote(run.task, run.key)))


def _held_by(run: Decided) -> str:
    names = [gate.gate for gate in run.gates if not gate.promote]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"the gate{'s' if len(names) > 1 else ''} {listed}"


def _use(task: str) -> tuple[tuple[str, str], ...]:
    return (f'fsat predict {task} "a text"', "label a text"), _report(task)


def _report(task: str) -> tuple[str, str]:
    return f"fsat open {task}", "read the report"


def _diff(task: str, before: int, after: int | str) -> tuple[str, str]:
    return f"fsat diff {task} {before} {after}", f"see what differs from version {before}"


def _promote(task: str, key: str) -> tuple[str, str]:
    return f"fsat promote {task} {key}", "make it the champion by hand"
