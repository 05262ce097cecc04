"""Registry entries that say that a run's decision moved the champion, and entries that do not."""

from __future__ import annotations

from typing import Any

import pytest

from fsat_tasks.registry.history import promoted_since

CASES: dict[str, tuple[dict[str, Any], int, bool]] = {
    "the first model": ({}, 0, True),
    "a better model": ({}, 1, True),
    "an earlier model again": ({}, 3, True),
    "the champion again": ({}, 2, False),
    "another run's model": ({"decision": {"key": "other"}}, 1, False),
    "a person's choice": ({"user": "anna"}, 1, False),
}


@pytest.mark.parametrize("case", CASES)
def test_champion_is_of_a_decision_that_moved_it(case: str) -> None:
    change, version, expected = CASES[case]
    champion = {"action": "promote", "version": 2, "decision": {"key": "this"}} | change
    assert promoted_since(champion, "this", version) is expected
