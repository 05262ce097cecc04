"""The registry: a pointer to the champion of each task, and a history that only grows.

`<store>/registry/<task>/champion.json` is the pointer and is replaced atomically. `history.jsonl` gets one line per
decision and per move by hand. Both are written under one lock, the history first. The history is authoritative: if a
process is killed between the two writes, the next writer updates the pointer. `history.py` interprets the lines.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fsat_tasks.errors import ChampionChangedError, RegistryError, StoreError
from fsat_tasks.registry.history import MOVES, Entry, by_hand, find_entry, moves, next_number, number_of, parse_entry, trail
from fsat_tasks.registry.signature import check_signature, signature_problem, signed
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.files import canonical_json, write_json
from fsat_tasks.tasks.workspace import check_task_name

__all__ = ["Registry", "find_published"]

Outcome = Literal["promoted", "unchanged", "held", "kept"]


class Registry:
    """The champion and the history of one task."""

    def __init__(self, store_root: Path, task: str) -> None:
        self.task = check_task_name(task)
        self.store = Store(store_root)
        self.folder = store_root / "registry" / task

    def champion(self) -> Entry | None:
        """Return the champion's entry: version, model, decision, metrics. None before the first promotion."""
        path = self.folder / "champion.json"
        content = _read(path)
        return None if content is None else parse_entry(str(path), content, *MOVES)

    def history(self) -> list[Entry]:
        """Return all entries, oldest first. A last line that a killed process left unfinished is ignored."""
        path = self.folder / "history.jsonl"
        lines = (_read(path) or b"").split(b"\n")
        return [parse_entry(f"{path}, line {number}", line, *MOVES, "hold") for number, line in enumerate(lines[:-1], start=1)]

    def version(self) -> int:
        """Return the champion's version, 0 before the first promotion. A decision or move names the version it replaces."""
        return _version(self.champion())

    def find(self, name: str) -> Entry:
        """Find the newest entry of a version or of a model's key. Raises RegistryError if there is none."""
        return find_entry(self.history(), name, self.task)

    def number(self, model: Artefact) -> int | None:
        """Return the model's version, or None if it was never promoted."""
        return number_of(self.history(), model.digest)

    def record(self, model: Artefact, decision: Artefact, replaces: int, hold: str = "") -> Outcome:
        """Record a run's decision, and move the champion if the decision says promote. A repeated call changes nothing.

        A model with the champion's digest is the champion, even if its key is another. It gets no version and no entry.

        A move by hand holds until a model without a version is promoted. Until then, a run cannot promote a model that
        has a version: the champion is kept, and no entry is added. A run on unchanged data therefore does not bring back
        a model that a person has replaced. A run on new data is judged as usual.

        Args:
            replaces: the champion's version when the decision was made.
            hold: reason to hold the model although the decision says promote. It becomes the entry's `reason`.

        Returns:
            `promoted`; `unchanged` if the model already was the champion; `held` if the decision or `hold` says so;
            `kept` if an earlier move by hand prevents the promotion.

        Raises:
            ChampionChangedError: the champion is no longer the version `replaces`.
            RegistryError: the champion or the history cannot be read.
            StoreError: the registry cannot be written.
        """
        with self._locked():
            return self._record(model, decision, replaces, hold)

    def promote(self, name: str, expected: int, reason: str = "", trust: bool = False) -> Entry:
        """Make a model of the history the champion by hand.

        Args:
            name: a version, or the key of any model of the history, even of a held one.
            expected: the version that the champion must have now; 0 if there is no champion.
            trust: accept an entry that the present signing key did not sign. The new entry is signed.

        Returns:
            the champion's entry. If the model already is the champion, nothing changes.

        Raises:
            ChampionChangedError: the champion has another version than `expected`.
            RegistryError: there is no such model, its files are missing or altered, or its entry is not signed.
        """
        with self._locked_history() as history:
            champion, _ = self._settle(history)
            target = find_entry(history, name, self.task)
            version = target["version"] or number_of(history, target["model"]["digest"]) or next_number(history)
            if champion is not None and champion["version"] == version and self._pointer_signed():
                return champion
            self._expect(champion, expected)
            if not trust:
                self._check_signed(target, name)
            return self._move("promote", {**target, "version": version}, reason)

    def rollback(self, expected: int, to: int | None = None, reason: str = "") -> Entry:
        """Make an earlier version on the promotion path the champion again by hand. Errors are those of `promote`.

        Args:
            to: the version to go back to; by default the one before the champion.
        """
        with self._locked_history() as history:
            champion, _ = self._settle(history)
            if champion is not None and champion["version"] == to and self._pointer_signed():
                return champion
            self._expect(champion, expected)
            way = trail(history)[:-1]
            if to is None and way:
                to = way[-1]
            if to not in way:
                raise RegistryError(
                    f"rollback of task {self.task!r}",
                    "an earlier version on the promotion path" + (f": {', '.join(map(str, dict.fromkeys(way)))}" if way else ""),
                    "none" if to is None else str(to),
                    f"Any version: fsat promote {self.task} VERSION.",
                )
            target = find_entry(history, str(to), self.task)
            self._check_signed(target, str(to))
            return self._move("rollback", target, reason)

    def restore(self, entry: Entry) -> None:
        """Add a version that another registry of this task published, and make it the champion.

        Nothing happens if this registry already has a version of its own. A repeated call changes nothing.
        """
        with self._locked():
            versions = [old for old in self.history() if old["version"] is not None]
            if versions not in ([], [entry]) or self.champion() is not None:
                return
            if not versions:
                self._append(entry)
            self._point_to(entry)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                yield
        except OSError as error:
            raise StoreError(f"registry {self.folder}", "a folder that can be written", error.strerror or str(error)) from error

    @contextmanager
    def _locked_history(self) -> Iterator[list[Entry]]:
        if not self.history():  # checked first, so that a mistyped name makes no folder
            raise RegistryError(f"task {self.task!r}", "a model in its history", "none yet", f"Make one: fsat run {self.task}.")
        with self._locked():
            yield self.history()

    def _settle(self, history: list[Entry]) -> tuple[Entry | None, bool]:
        """Return the champion of the history, and whether the pointer had to be updated after a killed move."""
        last = next(reversed(moves(history)), None)
        pointer = self.champion()
        if last is None:
            return pointer, False
        if pointer is not None and _same_model(pointer, last) and pointer["version"] == last["version"]:
            return last, False
        self._point_to(last)
        return last, True

    def _record(self, model: Artefact, decision: Artefact, replaces: int, hold: str) -> Outcome:
        verdict = decision.json("decision.json")
        promote = verdict["promote"] and not hold
        history = self.history()
        champion, finished = self._settle(history)
        entry = {
            "action": "promote" if promote else "hold",
            "version": None,
            "model": model.reference(),
            "decision": decision.reference(),
            "metrics": verdict["metrics"],
            "time": _now(),
        } | ({"reason": hold} if hold else {})
        if not promote:
            runs = [old for old in history if not by_hand(old)]
            if not runs or any(runs[-1][name] != entry[name] for name in ("action", "model", "decision")):
                self._append(signed(entry, self.task))
            return "held"
        if champion is not None and _same_model(champion, entry):
            pointer = self.champion()
            # the model was made again under another key and its old folder may be gone, or the pointer is unsigned
            if pointer is None or pointer["model"] != entry["model"] or not self._pointer_signed():
                self._point_to(signed({**champion, "model": entry["model"]}, self.task))
            return "promoted" if finished else "unchanged"
        version = number_of(history, model.digest)
        if version is not None and champion is not None and by_hand(champion):
            return "kept"
        if _version(champion) != replaces:
            raise ChampionChangedError(
                f"task {self.task!r}: the champion was version {replaces} when this model was judged and is version"
                f" {_version(champion)} now; run it again"
            )
        self._enter({**entry, "version": version or next_number(history)})
        return "promoted"

    def _expect(self, champion: Entry | None, expected: int) -> None:
        if _version(champion) != expected:
            raise ChampionChangedError(
                f"task {self.task!r}: the champion is version {_version(champion)} now and not {expected}; nothing was moved."
                f" Look at it: fsat history {self.task}"
            )

    def _check_signed(self, target: Entry, name: str) -> None:
        fix = f"If you trust it: fsat promote {self.task} {name} --trust."
        check_signature(target, self.task, f"entry of model {name!r} of task {self.task!r}", fix)

    def _pointer_signed(self) -> bool:
        pointer = self.champion()
        return pointer is not None and signature_problem(pointer, self.task) is None

    def _move(self, action: str, target: Entry, reason: str) -> Entry:
        find_published(self.store, self.task, target["model"])
        facts = {name: target[name] for name in ("version", "model", "decision", "metrics")}
        return self._enter({"action": action, **facts, "user": _user(), "reason": reason, "time": _now()})

    def _enter(self, entry: Mapping[str, object]) -> Entry:
        final = signed(entry, self.task)
        self._append(final)
        self._point_to(final)
        return final

    def _append(self, entry: Entry) -> None:
        path = self.folder / "history.jsonl"
        with path.open("a+b") as file:
            content = path.read_bytes()
            file.truncate(content.rfind(b"\n") + 1)  # removes an unfinished line of a killed process
            file.write(canonical_json(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _point_to(self, entry: Entry) -> None:
        temporary = self.folder / ".champion.json"
        write_json(temporary, entry)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self.folder / "champion.json")


def _same_model(one: Entry, other: Mapping[str, Mapping[str, str]] | Entry) -> bool:
    return bool(one["model"]["digest"] == other["model"]["digest"])


def _version(champion: Entry | None) -> int:
    return int(champion["version"]) if champion else 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        name = f"user {os.getuid()}"
    return name.encode("utf-8", "backslashreplace").decode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RegistryError(str(path), "a file that can be read", error.strerror or str(error)) from None


def find_published(store: Store, task: str, reference: Mapping[str, str]) -> Artefact:
    """Find the artefact that an entry or a manifest names. Raises RegistryError if it is missing or altered."""
    found = store.find(reference["step"], reference["key"])
    if found is None or found.digest != reference["digest"]:
        what = "model" if reference["step"] == "export" else reference["step"]
        raise RegistryError(
            f"{what} {reference['key'][:16]} of task {task!r}",
            "the files that were published",
            "missing or altered ones",
            f"Make it again with: fsat run {task}.",
        )
    return found
