"""Pure functions that interpret a registry's history, a list of entries with the oldest first.

A version is the number of a promoted model. A model gets its version at its first promotion: the highest version so far plus
one. The model keeps this version. If the model becomes champion again, the new entry has the same version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from types import NoneType
from typing import Any

from fsat_tasks.errors import RegistryError

__all__ = [
    "Entry",
    "by_hand",
    "find_entry",
    "moves",
    "next_number",
    "number_of",
    "parse_entry",
    "promoted_since",
    "promotion_path",
]

Entry = dict[str, Any]
MOVES = ("promote", "rollback")
"""Actions that move the champion. The only other action is `hold`."""
SHORTEST_KEY = 8
"""Minimum length of the beginning of a key that a user may give as a model's name. A shorter name made of digits is a version."""


def moves(history: Sequence[Entry]) -> list[Entry]:
    """Return the entries that moved the champion."""
    return [entry for entry in history if entry["action"] in MOVES]


def by_hand(entry: Entry) -> bool:
    """Return whether the entry is a move of the champion by a person, not a decision of a run."""
    return "user" in entry


def promoted_since(champion: Entry, decision: str, version: int) -> bool:
    """Return whether a run's decision has made the run's model the champion.

    The result is False if the model was the champion before the decision, or if a person moved the champion.

    Args:
        champion: entry of the model that is the champion now.
        decision: the key of the decision's artefact.
        version: the champion's version before the decision, 0 if there was no champion.
    """
    return not by_hand(champion) and bool(champion["decision"]["key"] == decision) and champion["version"] != version


def number_of(history: Sequence[Entry], digest: str) -> int | None:
    """Return the version of the model with this digest, or None if it was never promoted."""
    return {entry["model"]["digest"]: entry["version"] for entry in moves(history)}.get(digest)


def next_number(history: Sequence[Entry]) -> int:
    """Return the version that the next new model gets."""
    return 1 + max((entry["version"] for entry in moves(history)), default=0)


def promotion_path(history: Sequence[Entry]) -> list[int]:
    """Return the promotion path: the versions that led to the champion. The champion's version is the last.

    A promotion appends a version. A rollback goes back to a version on the path and drops the versions after it. For example,
    promotions of versions 1, 2 and 3 and a rollback give the path 1, 2. A second rollback gives the path 1. If
    version 4 is promoted after the second rollback, the path is 1, 4.
    """
    way: list[int] = []
    for entry in moves(history):
        version = entry["version"]
        if entry["action"] == "rollback":
            while way and way[-1] != version:
                way.pop()
        if way[-1:] != [version]:
            way.append(version)
    return way


def find_entry(history: Sequence[Entry], name: str, task: str) -> Entry:
    """Find the newest entry of a model.

    Args:
        history: the history.
        name: a version (`3` or `v3`), or the first 8 or more characters of the model's key.
        task: name of the task, for the error.

    Raises:
        RegistryError: there is no such entry, or the keys of several models begin with these characters.
    """
    where, fix = f"model {name!r} of task {task!r}", f"fsat history {task} shows all of them."
    if number := re.fullmatch(rf"v?([0-9]{{1,{SHORTEST_KEY - 1}}})", name):
        found = [entry for entry in history if entry["version"] == int(number[1])]
        if not found:
            raise RegistryError(where, "one of its versions", f"no such version; the newest is {next_number(history) - 1}", fix)
        return found[-1]
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_KEY},64}}", name):
        raise RegistryError(where, f"a version, or {SHORTEST_KEY} or more hexadecimal digits of a key", "something else", fix)
    found = [entry for entry in history if entry["model"]["key"].startswith(name)]
    models = {entry["model"]["digest"] for entry in found}
    if len(models) != 1:
        raise RegistryError(where, "the beginning of one model's key", f"the beginning of the keys of {len(models)} models", fix)
    return found[-1]


def parse_entry(where: str, content: bytes, *actions: str) -> Entry:
    """Parse an entry and check its fields.

    Args:
        where: file and line, for the error.
        content: one entry as JSON.
        actions: the actions that the entry may have.

    Raises:
        RegistryError: the content is not a JSON object, or a field is missing or invalid.
    """
    fix = "Restore it from a backup. A damaged champion.json may be removed: the next run or move makes it from history.jsonl."
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RegistryError(where, "a JSON object", str(error), fix) from None
    if not isinstance(entry, dict):
        raise RegistryError(where, "a JSON object", type(entry).__name__, fix)
    valid = {
        "action": entry.get("action") in actions,
        "version": isinstance(entry.get("version"), int if entry.get("action") in MOVES else NoneType),
        "model": _is_reference(entry.get("model")),
        "decision": _is_reference(entry.get("decision")),
        "metrics": isinstance(entry.get("metrics"), dict),
        "time": isinstance(entry.get("time"), str),
        **{name: isinstance(entry.get(name, ""), str) for name in ("user", "reason", "signature")},
    }
    for name, good in valid.items():
        if not good:
            got = f"{entry[name]!r:.100}" if name in entry else "none"
            raise RegistryError(where, f"an entry with a valid {name!r}", got, fix)
    return entry


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(part), str) for part in ("step", "key", "digest"))
