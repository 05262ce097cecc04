"""What the lines of a registry's history mean: pure functions on entries, oldest first.

A version is the number of a promoted model. The model gets it once, by its first promotion, and keeps it: whatever makes
the model the champion again points to that number. A model that is new goes on from the highest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from types import NoneType
from typing import Any

from fsat_tasks.errors import RegistryError

__all__ = ["Entry", "by_hand", "find_entry", "moves", "next_number", "number_of", "parse_entry", "promoted_since", "trail"]

Entry = dict[str, Any]
MOVES = ("promote", "rollback")
"""Actions that move the champion; the other one is `hold`."""
SHORTEST_KEY = 8
"""Letters of a model's key that name it: fewer digits are a version."""


def moves(history: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in history if entry["action"] in MOVES]


def by_hand(entry: Entry) -> bool:
    """Whether a person moved the champion, and not a run."""
    return "user" in entry


def promoted_since(champion: Entry, decision: str, version: int) -> bool:
    """Whether a run's decision made its model the champion after another one was.

    False for a champion that the decision only confirms, and for one that a person moved there.

    Args:
        champion: the present champion's entry.
        decision: the key of the decision's artefact.
        version: the champion's version before, 0 if there was none.
    """
    return not by_hand(champion) and bool(champion["decision"]["key"] == decision) and champion["version"] != version


def number_of(history: Sequence[Entry], digest: str) -> int | None:
    """The version of the model with these bytes, None where it was never promoted."""
    return {entry["model"]["digest"]: entry["version"] for entry in moves(history)}.get(digest)


def next_number(history: Sequence[Entry]) -> int:
    return 1 + max((entry["version"] for entry in moves(history)), default=0)


def trail(history: Sequence[Entry]) -> list[int]:
    """The way to the present champion, which is last: a promotion goes one on, a rollback back to where the way was before.

    So 1, 2, 3 and a rollback is 1, 2; a second one is 1; and a promotion then 1, 4.
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
    """The newest entry of a version (`3` or `v3`) or of a model's key (its first 8 letters or more).

    Raises:
        RegistryError: where there is none, or several models' keys begin so.
    """
    where, fix = f"model {name!r} of task {task!r}", f"fsat history {task} shows all of them."
    if number := re.fullmatch(rf"v?([0-9]{{1,{SHORTEST_KEY - 1}}})", name):
        found = [entry for entry in history if entry["version"] == int(number[1])]
        if not found:
            raise RegistryError(where, "one of its versions", f"none of them: there are {next_number(history) - 1}", fix)
        return found[-1]
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_KEY},64}}", name):
        raise RegistryError(where, f"a version, or {SHORTEST_KEY} or more hexadecimal letters of a key", "something else", fix)
    found = [entry for entry in history if entry["model"]["key"].startswith(name)]
    models = {entry["model"]["digest"] for entry in found}
    if len(models) != 1:
        raise RegistryError(where, "the beginning of one model's key", f"that of {len(models)}", fix)
    return found[-1]


def parse_entry(where: str, content: bytes, *actions: str) -> Entry:
    """Parse an entry and check the fields that others rely on."""
    fix = "Restore it from a backup; a champion.json that is removed comes back from history.jsonl with the next run or move."
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
