"""Words of a run at its end: the ending, the sentence, the hint about rows, and commands that the verbs accept."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.registry.endings import Ending, ending_of
from fsat_tasks.registry.next_steps import Decided, NextSteps, after_history, after_move, after_run, before_record, rows_hint
from fsat_tasks.registry.standing import Standing

KEY, OTHER = "cbf6b474" + "0" * 56, "9" * 64
MODEL = {"key": KEY, "digest": "mine"}
OLD = {"version": 1, "rows": 60, "gained": 0, "lost": 1, "accuracy": 0.95, "missing": []}
HELD = [GateDecision("accuracy", True, "Good.", 0.9, 0.6), GateDecision("champion", False, "Not better.", 1.0, 0.05)]


def entry(version: int, digest: str = "other", **more: Any) -> dict[str, Any]:
    return {"action": "promote", "version": version, "model": {"key": OTHER, "digest": digest}, **more}


def decision(promote: bool = False, champion: dict[str, Any] | None = None, **metrics: Any) -> dict[str, Any]:
    return {"promote": promote, "model": MODEL, "champion": champion, "metrics": {"evidence": "query", **metrics}}


def run(ending: Ending, champion: dict[str, Any] | None, before: int = 0, **decided: Any) -> NextSteps:
    gates = HELD if ending in (Ending.held, Ending.overruled, Ending.would_hold) else HELD[:1]
    return after_run(Decided("desk", ending, decision(**decided), gates, champion, before))


ENDINGS: dict[Ending, tuple[bool, dict[str, Any] | None, int, bool, bool]] = {
    Ending.promoted: (True, entry(2, "mine"), 1, False, False),
    Ending.unchanged: (True, entry(2, "mine"), 2, False, False),
    Ending.held: (False, entry(1), 1, False, False),
    Ending.overruled: (False, entry(2, "mine", user="anna"), 2, False, False),
    Ending.asked: (True, entry(1), 1, True, False),
    Ending.kept: (True, entry(1, user="anna"), 1, False, False),
    Ending.would_promote: (True, entry(1), 1, False, True),
    Ending.would_hold: (False, None, 0, False, True),
}


@pytest.mark.parametrize("ending", Ending)
def test_ending_is_found_from_decision_and_registry(ending: Ending) -> None:
    promote, champion, before, awaits, dry_run = ENDINGS[ending]
    assert ending_of(decision(promote), champion, before, awaits, dry_run) is ending
    assert ending.is_hold == (ending in {"held", "asked", "would hold"})


def test_model_that_a_person_promoted_again_is_not_new() -> None:
    assert ending_of(decision(True), entry(2, "mine", user="anna"), 1, False, False) is Ending.unchanged


def test_first_hold_names_gate_and_report_and_a_later_one_compares() -> None:
    first = run(Ending.held, None)
    assert first.says == "The model was held, because it did not pass the gate champion; there is no champion yet."
    assert [command for command, _ in first.commands] == ["fsat open desk", "fsat promote desk cbf6b474"]
    later = run(Ending.held, entry(1))
    assert later.says.endswith("; version 1 stays the champion.")
    assert [command for command, _ in later.commands] == ["fsat diff desk 1 cbf6b474", "fsat promote desk cbf6b474"]


def test_model_that_waits_for_approval_is_not_called_promoted() -> None:
    asked = after_run(Decided("desk", Ending.asked, decision(True), HELD[:1], None), again="fsat run desk --shots 5")
    assert asked.says == "All gates passed, but a person must approve the model before it is used; there is no champion yet."
    assert asked.commands[-1][0] == "fsat run desk --shots 5 --approve"


def test_held_model_that_a_person_promoted_is_said_to_be_the_champion() -> None:
    says = run(Ending.overruled, entry(2, "mine", user="anna"), 2).says
    assert says == "The model did not pass the gate champion, but a person made it the champion: version 2 stays."


def test_promotion_offers_the_comparison_and_the_way_back() -> None:
    steps = run(Ending.promoted, entry(3, "mine"), 2)
    assert steps.says == "The model is the champion now, version 3, in place of version 2."
    assert [command for command, _ in steps.commands] == ["fsat diff desk 2 3", "fsat promote desk 2"]
    assert "fsat predict" in run(Ending.promoted, entry(1, "mine")).commands[0][0]


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize("champion", [None, entry(1), entry(2, "mine")])
def test_every_ending_has_a_sentence_and_one_or_two_commands_of_fsat(ending: Ending, champion: dict[str, Any] | None) -> None:
    steps = run(ending, champion, 1)
    assert steps.says.endswith(".")
    assert 1 <= len(steps.commands) <= 2
    assert all(shlex.split(command)[0] == "fsat" and purpose for command, purpose in steps.commands)


def test_small_gain_says_how_many_rows_would_show_it() -> None:
    hint = rows_hint(decision(champion=OLD | {"gained": 4, "lost": 3, "accuracy": 0.8}), HELD)
    assert hint.startswith("The gain of 1.7 points is too small to tell from chance on 60 query rows.")
    assert "about 2,800 would show it in four of five cases" in hint


def test_champion_with_too_few_wrong_rows_cannot_be_beaten_and_that_is_said() -> None:
    hint = rows_hint(decision(champion=OLD), HELD)
    assert "at least 5 more right (8.3 points)" in hint
    assert "the champion has only 3 wrong" in hint
    assert "add query rows, at least 100 of them" in hint
    perfect = rows_hint(decision(champion=OLD | {"accuracy": 1.0}), HELD)
    assert "the champion has all of them right" in perfect and "add query rows, or promote" in perfect


def test_hint_speaks_of_the_rule_better_and_the_rules_that_would_pass_are_offered() -> None:
    old = OLD | {"other_rules": ["no_worse"]}
    held, dry = (
        after_run(Decided("desk", ending, decision(champion=old), HELD, entry(1), 1))
        for ending in (Ending.held, Ending.would_hold)
    )
    page = before_record("desk", decision(champion=old), HELD, Standing(None, 2, 1, False), approval=False)
    for steps in (held, dry, page):
        assert "So no model can replace it by the rule `better`: add query rows" in steps.hint
        assert steps.commands[-1] == ("fsat run desk", "once task.yaml has gates: {replace_if: no_worse}")
    both = [*HELD, GateDecision("ece", False, "Off.", 0.2, 0.1)]
    after = after_run(Decided("desk", Ending.held, decision(champion=old), both, entry(1), 1))
    assert not any("replace_if" in purpose for _, purpose in after.commands), "another gate holds it too"


def test_model_that_is_not_ahead_gets_no_promise_of_more_rows() -> None:
    assert "more rows may not help" in rows_hint(decision(champion=OLD | {"accuracy": 0.5}), HELD)
    assert "more rows may not help" in rows_hint(decision(champion=OLD, mae=0.5), HELD)


def test_other_holds_have_no_hint_about_rows() -> None:
    assert rows_hint(decision(), HELD) == ""
    assert rows_hint(decision(champion={"version": 1}), HELD) == ""
    assert rows_hint(decision(champion=OLD | {"missing": ["new"]}), HELD) == ""
    assert rows_hint(decision(champion=OLD | {"rule": "surer"}), HELD) == ""
    assert rows_hint(decision(champion=OLD), [*HELD, GateDecision("ece", False, "Off.", 0.2, 0.1)]) == ""


@pytest.mark.parametrize(
    ("promote", "standing", "commands"),
    [
        (True, Standing(None, 1, 0, False), ["fsat history desk"]),
        (True, Standing(None, 2, 1, False), ["fsat diff desk 1 cbf6b474", "fsat history desk"]),
        (False, Standing(None, 1, 0, False), ["fsat promote desk cbf6b474"]),
        (False, Standing(None, 2, 1, False), ["fsat diff desk 1 cbf6b474", "fsat promote desk cbf6b474"]),
        (True, Standing(1, 2, 1, False), ['fsat predict desk "a text"']),
    ],
)
def test_decision_that_is_not_recorded_yet_claims_no_promotion(promote: bool, standing: Standing, commands: list[str]) -> None:
    gates = HELD[:1] if promote else HELD
    steps = before_record("desk", decision(promote, OLD), gates, standing, approval=False)
    assert [command for command, _ in steps.commands] == commands
    assert steps.says == standing.say(promote, approval=False)
    assert bool(steps.hint) is not promote


def test_move_says_what_undoes_it() -> None:
    assert after_move("desk", 3, 2).commands[-1] == ("fsat promote desk 3", "undo it")
    assert after_move("desk", 0, 1).says == "desk: the champion is version 1."
    assert after_move("desk", 2, 2).says == "desk: the champion is version 2 already."


def test_history_says_whether_the_newest_model_is_in_use() -> None:
    held = {"action": "hold", "version": None, "model": MODEL}
    assert after_history("desk", [], None).commands == (("fsat run desk", "make one"),)
    assert [one for one, _ in after_history("desk", [held], None).commands] == ["fsat open desk", "fsat promote desk cbf6b474"]
    steps = after_history("desk", [entry(1), held], entry(1))
    assert steps.says == "The champion is version 1; the newest model, cbf6b474, is not in use."
    assert [one for one, _ in steps.commands] == ["fsat diff desk 1 cbf6b474", "fsat promote desk cbf6b474"]
    assert after_history("desk", [entry(1)], entry(1)).says == "The newest model is the champion, version 1."
