"""The history read as a whole: which entry moved the champion, and which model a name means."""

from __future__ import annotations

from typing import Any

import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.history import find_entry, newest_run, promoted_since

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


def run_of(key: str, version: int | None = None, **more: Any) -> dict[str, Any]:
    model = {"key": key * (64 // len(key)), "digest": key}
    return {"action": "promote" if version else "hold", "version": version, "model": model, **more}


HISTORY = [run_of("12345678", 1), run_of("abcd1234", 2), run_of("abce5678"), run_of("12345678", 1, user="anna")]


@pytest.mark.parametrize(
    ("name", "found"),
    [("1", 3), ("v2", 1), ("abcd", 1), ("abce", 2), ("12345678", 3), ("latest", 2)],
)
def test_model_is_named_by_version_letters_of_its_key_or_latest(name: str, found: int) -> None:
    assert find_entry(HISTORY, name, "task") is HISTORY[found]


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("1234", "got no such version; the newest is 2"),  # digits alone are a version
        ("abc", "4 or more hexadecimal digits of a key, or latest, got something else"),
        ("beef", "got the beginning of no key"),
    ],
)
def test_name_of_no_model_is_refused(name: str, got: str) -> None:
    with pytest.raises(RegistryError, match=got):
        find_entry(HISTORY, name, "task")


def test_letters_of_two_models_are_refused() -> None:
    with pytest.raises(RegistryError, match="got the beginning of the keys of 2 models"):
        find_entry([run_of("abcd1234", 1), run_of("abcd5678", 2)], "abcd", "task")


def test_without_a_run_there_is_no_newest_model() -> None:
    assert newest_run([]) is None
    with pytest.raises(RegistryError, match="got no run yet"):
        find_entry([], "latest", "task")
