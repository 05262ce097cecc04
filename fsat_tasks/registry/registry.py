"""The registry: for each task a pointer to its champion, and a history that only grows.

`<store>/registry/<task>/champion.json` is replaced atomically; `history.jsonl` gets one line per decision and per move by
hand. Both change under one lock, the history first: it is what holds, and a move whose process was killed before the
pointer is finished by the next that writes. What the lines mean is in `history.py`.
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
    """One task's champion and history."""

    def __init__(self, store_root: Path, task: str) -> None:
        self.task = check_task_name(task)
        self.store = Store(store_root)
        self.folder = store_root / "registry" / task

    def champion(self) -> Entry | None:
        """The published model's entry: version, model and decision references, metrics. None before the first."""
        path = self.folder / "champion.json"
        content = _read(path)
        return None if content is None else parse_entry(str(path), content, *MOVES)

    def history(self) -> list[Entry]:
        """All entries, oldest first. A line that a killed process left unfinished is not an entry."""
        path = self.folder / "history.jsonl"
        lines = (_read(path) or b"").split(b"\n")
        return [parse_entry(f"{path}, line {number}", line, *MOVES, "hold") for number, line in enumerate(lines[:-1], start=1)]

    def version(self) -> int:
        """The champion's version, 0 before the first: what a decision or a move says it replaces."""
        return _version(self.champion())

    def find(self, name: str) -> Entry:
        """The newest entry of a version or of a model's key. Raises RegistryError where there is none."""
        return find_entry(self.history(), name, self.task)

    def number(self, model: Artefact) -> int | None:
        """The model's version, None where it was never promoted."""
        return number_of(self.history(), model.digest)

    def record(self, model: Artefact, decision: Artefact, replaces: int, hold: str = "") -> Outcome:
        """Enter a run's decision; make the model the champion if it says promote. Doing it again changes nothing.

        A model with the champion's digest is the champion, whatever key it was made under now: no version, no entry.

        A move by hand, rollback or promotion, holds until a model that has no version yet is promoted: until then a model
        that has one is `kept` off, without an entry. So a run on unchanged data, whose model a person took away, does not bring
        it back; a run on new data is judged as ever.

        Args:
            replaces: the champion's version when the decision was made.
            hold: why the model is held although the decision says promote; the entry's `reason`.

        Raises:
            ChampionChangedError: where the model would replace another champion than that one.
            RegistryError: where the champion or the history cannot be read.
            StoreError: where the registry cannot be written.
        """
        with self._locked():
            return self._record(model, decision, replaces, hold)

    def promote(self, name: str, expected: int, reason: str = "", trust: bool = False) -> Entry:
        """Make a model of the history the champion by hand: a version, or any model, also a held one, by its key.

        Args:
            expected: the version that must be the champion's now; 0 where there is none.
            trust: also where the present signing key did not sign the model's entry. The new entry is signed.

        Returns:
            The champion's entry; the present one where it is that model already, and then nothing changes.

        Raises:
            ChampionChangedError: where another version is the champion.
            RegistryError: where there is no such model, or it is altered, missing or not signed.
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
        """Make the version before the champion the champion again, or an earlier one on the way to it; raises as `promote`."""
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
                    "a version on the way to the champion" + (f": {', '.join(map(str, dict.fromkeys(way)))}" if way else ""),
                    "no version before it" if to is None else str(to),
                    f"Any version: fsat promote {self.task} VERSION.",
                )
            target = find_entry(history, str(to), self.task)
            self._check_signed(target, str(to))
            return self._move("rollback", target, reason)

    def restore(self, entry: Entry) -> None:
        """Enter a version that another registry of this task published, where this one has no version of its own yet.

        It is the champion then. Doing it again changes nothing.
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
        if not self.history():  # and no folder is made for a name that is mistyped
            raise RegistryError(f"task {self.task!r}", "a model in its history", "none yet", f"Make one: fsat run {self.task}.")
        with self._locked():
            yield self.history()

    def _settle(self, history: list[Entry]) -> tuple[Entry | None, bool]:
        """The champion as the history has it, and whether its move had to be finished: its process was killed in between."""
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
            # made again under another key, and the old folder may be gone; or from before there was a signing key
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
            file.truncate(content.rfind(b"\n") + 1)  # an unfinished line of a killed process
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
    except (KeyError, OSError):  # a container's user may have no name
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
    """The artefact that an entry or a manifest names, checksums verified. Raises RegistryError where it is no longer that one."""
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
