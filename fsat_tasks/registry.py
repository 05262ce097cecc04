"""The registry: for each task a pointer to its champion, and a history that only grows.

`<store>/registry/<task>/champion.json` is replaced atomically; `history.jsonl` gets one line per decision. Both change
under one lock, so of many publishers each sees the champion that it replaces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from fsat_tasks.errors import ChampionChangedError, RegistryError, StoreError
from fsat_tasks.store import Artefact, canonical_json, write_json
from fsat_tasks.workspace import check_task_name

__all__ = ["Registry"]

Outcome = Literal["promoted", "unchanged", "held"]


class Registry:
    """One task's champion and history."""

    def __init__(self, store_root: Path, task: str) -> None:
        self.task = check_task_name(task)
        self.folder = store_root / "registry" / task

    def champion(self) -> dict[str, Any] | None:
        """The published model's entry: version, model and decision references, metrics. None before the first."""
        path = self.folder / "champion.json"
        content = _read(path)
        return None if content is None else _entry(str(path), content, "promote")

    def history(self) -> list[dict[str, Any]]:
        """All entries, oldest first. A line that a killed process left unfinished is not an entry."""
        path = self.folder / "history.jsonl"
        lines = (_read(path) or b"").split(b"\n")
        return [_entry(f"{path}, line {number}", line, "promote", "hold") for number, line in enumerate(lines[:-1], start=1)]

    def version(self) -> int:
        """The champion's version, 0 before the first: what a decision says it replaces."""
        champion = self.champion()
        return int(champion["version"]) if champion else 0

    def record(self, model: Artefact, decision: Artefact, replaces: int, hold: str = "") -> Outcome:
        """Enter a decision; make the model the champion if it says promote. Doing it again changes nothing.

        A model with the champion's digest is the champion, whatever key it was made under now: no version, no entry.

        Args:
            replaces: the champion's version when the decision was made.
            hold: why the model is held although the decision says promote; the entry's `reason`.

        Raises:
            ChampionChangedError: where the model would replace another champion than that one.
            RegistryError: where the champion or the history cannot be read.
            StoreError: where the registry cannot be written.
        """
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                return self._record(model, decision, replaces, hold)
        except OSError as error:
            raise StoreError(f"registry {self.folder}", "a folder that can be written", error.strerror or str(error)) from error

    def _record(self, model: Artefact, decision: Artefact, replaces: int, hold: str) -> Outcome:
        verdict = decision.json("decision.json")
        promote: bool = verdict["promote"] and not hold
        history, champion = self.history(), self.champion()
        reference = model.reference()
        if promote and champion is not None and champion["model"]["digest"] == model.digest:
            if champion["model"] != reference:  # made again under another key: the old folder may be gone
                self._point_to({**champion, "model": reference})
            return "unchanged"
        if promote and self.version() != replaces:
            raise ChampionChangedError(
                f"task {self.task!r}: the champion was version {replaces} when this model was judged and is version"
                f" {self.version()} now; run it again"
            )
        last = history[-1] if history else None
        entry = {
            "action": "promote" if promote else "hold",
            "version": 1 + max((old["version"] for old in history if old["action"] == "promote"), default=0) if promote else None,
            "model": reference,
            "decision": decision.reference(),
            "metrics": verdict["metrics"],
        } | ({"reason": hold} if hold else {})
        # after a kill between the two writes the last line is this very promotion, or it is a hold said before
        if last is not None and all(last[name] == entry[name] for name in ("action", "model", "decision")):
            entry = last
        else:
            entry["time"] = datetime.now(UTC).isoformat(timespec="seconds")
            self._append(entry)
        if promote:
            self._point_to(entry)
        return "promoted" if promote else "held"

    def _append(self, entry: Mapping[str, Any]) -> None:
        path = self.folder / "history.jsonl"
        with path.open("a+b") as file:
            content = path.read_bytes()
            file.truncate(content.rfind(b"\n") + 1)  # an unfinished line of a killed process
            file.write(canonical_json(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _point_to(self, entry: Mapping[str, Any]) -> None:
        temporary = self.folder / ".champion.json"
        write_json(temporary, dict(entry))
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self.folder / "champion.json")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RegistryError(str(path), "a file that can be read", error.strerror or str(error)) from None


def _entry(where: str, content: bytes, *actions: str) -> dict[str, Any]:
    """Parse an entry and check the fields that others rely on."""
    fix = "Restore it from a backup; history.jsonl has a line for every promotion."
    try:
        entry = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RegistryError(where, "a JSON object", str(error), fix) from None
    if not isinstance(entry, dict):
        raise RegistryError(where, "a JSON object", type(entry).__name__, fix)
    valid = {
        "action": entry.get("action") in actions,
        "version": isinstance(entry.get("version"), int if entry.get("action") == "promote" else NoneType),
        "model": _is_reference(entry.get("model")),
        "decision": _is_reference(entry.get("decision")),
        "metrics": isinstance(entry.get("metrics"), dict),
        "time": isinstance(entry.get("time"), str),
    }
    for name, good in valid.items():
        if not good:
            got = f"{entry[name]!r:.100}" if name in entry else "none"
            raise RegistryError(where, f"an entry with a valid {name!r}", got, fix)
    return entry


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(part), str) for part in ("step", "key", "digest"))
