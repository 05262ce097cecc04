"""Pure functions that interpret a registry's history, a list of entries with the oldest first.

A version is the number of a promoted model. A model gets its version at its first promotion: the highest version so far plus
one. The model keeps this version. If the model becomes champion again, the new entry has the same version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from fsat_tasks.errors import RegistryError
from fsat_tasks.quality.wording import FIGURES
from fsat_tasks.store.files import canonical_json
from fsat_tasks.store.reference import is_key, is_reference

__all__ = [
    "LATEST",
    "Entry",
    "by_hand",
    "champion_of",
    "find_entry",
    "moves",
    "newest_run",
    "next_number",
    "number_of",
    "parse_entry",
    "promoted_since",
    "promotion_path",
    "same_move",
]

Entry = dict[str, Any]
MOVES = ("promote", "rollback")
"""Actions that move the champion. The only other action is `hold`."""
LATEST = "latest"
"""Name of the model of the newest run, whether it was promoted or held."""
SHORTEST_KEY = 4
"""Minimum length of the beginning of a key that a user may give as a model's name."""
LARGEST_FIGURE = 1e300
"""Maximum size of a figure. A whole number of JSON may be larger than any float, and a percentage is 100 times its figure."""
VERSION_DIGITS = 7
"""Maximum number of digits of a version. A name of so many digits is a version, also if a key begins with them."""


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


def newest_run(history: Sequence[Entry]) -> Entry | None:
    """Return the newest entry that a run has added, or None if there is none. A person's moves are left out."""
    return next((entry for entry in reversed(history) if not by_hand(entry)), None)


def find_entry(history: Sequence[Entry], name: str, task: str) -> Entry:
    """Find the newest entry of a model.

    Args:
        history: the history.
        name: a version (`3` or `v3`), the first 4 or more characters of the model's key, or `latest`.
        task: name of the task, for the error.

    Raises:
        RegistryError: there is no such entry, or the keys of several models begin with these characters.
    """
    where, fix = f"model {name!r} of task {task!r}", f"fsat history {task} shows all of them."
    if name == LATEST:
        if (newest := newest_run(history)) is None:
            raise RegistryError(where, "the model of a run", "no run yet", f"Make one with: fsat run {task}.")
        return newest
    if number := re.fullmatch(rf"v?([0-9]{{1,{VERSION_DIGITS}}})", name):
        found = [entry for entry in history if entry["version"] == int(number[1])]
        if not found:
            raise RegistryError(where, "one of its versions", f"no such version; the newest is {next_number(history) - 1}", fix)
        return found[-1]
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_KEY},64}}", name):
        expected = f"a version, {SHORTEST_KEY} or more hexadecimal digits of a key, or {LATEST}"
        raise RegistryError(where, expected, "something else", fix)
    found = [entry for entry in history if entry["model"]["key"].startswith(name)]
    models = {entry["model"]["digest"] for entry in found}
    if len(models) != 1:
        got = f"the beginning of the keys of {len(models)} models" if models else "the beginning of no key"
        raise RegistryError(where, "the beginning of one model's key", got, fix)
    return found[-1]


def same_move(pointer: Entry, line: Entry) -> bool:
    """Return whether the pointer names a move of the history.

    The pointer's model may have another key, because an equal model was made again, and its signature may be newer.
    """
    ours, theirs = ({**entry, "model": entry["model"]["digest"], "signature": None} for entry in (pointer, line))
    return ours == theirs


def champion_of(history: Sequence[Entry], pointer: Entry | None) -> Entry | None:
    """Return the champion's entry: the last move, from the pointer if the pointer names this move.

    The pointer names an earlier move if a process was killed between its line and the pointer.

    Raises:
        LookupError: the history has no line of the move that the pointer names.
    """
    last = next(reversed(moves(history)), None)
    if pointer is None:
        return last
    if last is not None and same_move(pointer, last):
        return pointer
    if not any(same_move(pointer, line) for line in moves(history)):
        raise LookupError(f"version {pointer['version']} by a {pointer['action']} of {pointer['time']}")
    return last


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
        canonical_json(entry).encode()  # NaN and half surrogates cannot be written or printed
    except (ValueError, RecursionError) as error:
        raise RegistryError(where, "a JSON object", str(error), fix) from None
    if not isinstance(entry, dict):
        raise RegistryError(where, "a JSON object", type(entry).__name__, fix)
    valid = {
        "action": entry.get("action") in actions,
        "version": _is_version(entry.get("version")) if entry.get("action") in MOVES else entry.get("version") is None,
        "model": is_reference(entry.get("model"), "export"),
        "decision": is_reference(entry.get("decision"), "publish"),
        "metrics": _is_figures(entry.get("metrics")),
        "time": _is_time(entry.get("time")),
        "before": is_key(entry.get("before", "0" * 64)),
        **{name: isinstance(entry.get(name, ""), str) for name in ("user", "reason", "signature")},
    }
    for name, good in valid.items():
        if not good:
            got = f"{entry[name]!r:.100}" if name in entry else "none"
            raise RegistryError(where, f"an entry with a valid {name!r}", got, fix)
    return entry


def _is_version(value: object) -> bool:
    return type(value) is int and 0 < value < 10**VERSION_DIGITS  # True is an int too


def _is_figures(value: object) -> bool:
    return isinstance(value, dict) and all(_is_figure(value.get(name)) for name in FIGURES)


def _is_figure(value: object) -> bool:
    if type(value) not in (int, float):
        return value is None
    return abs(cast(float, value)) <= LARGEST_FIGURE


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
