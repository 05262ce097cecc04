"""The registry: for each task, a pointer to the champion and a history that only grows.

The pointer is the file `<store>/registry/<task>/champion.json`, which is replaced atomically. The history is `history.jsonl`
beside it. Each decision and each move by hand adds a line. Both files are written under one lock, the history before the pointer.
The champion is the last move of the history. If a process is killed between the two writes, the next writer updates the pointer.
A pointer without a line in the history is refused, because it means that a line was lost. `journal.py` reads and writes the two
files, and `history.py` interprets the lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from fsat_tasks.errors import ChampionChangedError, RegistryError, StoreError, reason
from fsat_tasks.registry.history import Entry, by_hand, find_entry, moves, next_number, number_of, promotion_path
from fsat_tasks.registry.journal import Journal
from fsat_tasks.registry.published import find_published
from fsat_tasks.registry.signature import check_signature, signature_problem, signed
from fsat_tasks.runtime.machine import user_name
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.folders import make_folder
from fsat_tasks.tasks.workspace import check_task_name

__all__ = ["Registry"]

REGISTRY = "registry"
"""Name of the folder in the store."""
Outcome = Literal["promoted", "unchanged", "held", "kept"]


class Registry:
    """The champion and the history of one task."""

    def __init__(self, store_root: Path, task: str) -> None:
        self.task = check_task_name(task)
        self.store = Store(store_root)
        self.folder = store_root / REGISTRY / task
        self._journal = Journal(self.folder, task)

    def champion(self, damaged: bool = False) -> Entry | None:
        """Return the champion's entry, with version, model, decision and metrics, or None before the first promotion.

        `damaged` and the errors are as in `Journal.champion`.
        """
        return self._journal.champion(damaged)

    def history(self, damaged: bool = False) -> list[Entry]:
        """Return all entries, oldest first. `damaged` and the errors are as in `Journal.entries`."""
        return self._journal.entries(damaged)

    def version(self, damaged: bool = False) -> int:
        """Return the champion's version, or 0 before the first promotion."""
        return _version(self.champion(damaged))

    def find(self, name: str) -> Entry:
        """Find the newest entry of a model by its version or key; see `find_entry`. Raises RegistryError if there is none."""
        return find_entry(self.history(), name, self.task)

    def number(self, model: Artefact) -> int | None:
        """Return the model's version, or None if it was never promoted."""
        return number_of(self.history(), model.digest)

    def record(self, model: Artefact, decision: Artefact, replaces: int, hold: str = "") -> Outcome:
        """Record a run's decision, and move the champion if the decision says promote. A repeated call changes nothing.

        A model with the champion's digest counts as the champion, even if its key differs. It gets no new version and no entry.

        If a person has moved the champion, a run can replace it only with a model that was never promoted. A run whose model
        already has a version leaves the champion as it is and adds no entry. A run on unchanged data therefore does not bring
        back a model that a person has replaced. A run on new data makes a new model, which can replace the person's choice.

        Args:
            replaces: the champion's version when the decision was made.
            hold: reason to hold the model although the decision says promote. This reason is written to the entry.

        Returns:
            `promoted` if the model has become the champion; `unchanged` if it already was the champion; `held` if the decision
            says hold or `hold` is given; `kept` if an earlier move by hand prevents the promotion.

        Raises:
            ChampionChangedError: the champion is no longer the version `replaces`.
            RegistryError: the champion or the history cannot be read.
            StoreError: the registry cannot be written.
        """
        with self._locked():
            return self._record(model, decision, replaces, hold)

    def promote(self, name: str, expected: int, reason: str = "", trust: bool = False) -> Entry:
        """Move the champion by hand to a model that the history names.

        Args:
            name: a version, or the key of any model of the history, even of one that was only held.
            expected: the version that the champion must have now; 0 if there is no champion.
            reason: the person's reason, for the history.
            trust: whether to accept an entry that was not signed with the key in FSAT_SIGNING_KEY, and a history of which a line
                was lost. The new entry is signed, and the history counts as whole from then on.

        Returns:
            the champion's entry. If the model already is the champion, nothing changes.

        Raises:
            ChampionChangedError: the champion has another version than `expected`.
            RegistryError: there is no such model, its files are missing or altered, or its entry is not signed.
        """
        with self._locked_history(damaged=trust) as history:
            whole = not trust or self._journal.is_whole()
            champion, finished = self._journal.settle() if whole else (self.champion(damaged=True), False)
            target = find_entry(history, name, self.task)
            if whole and champion is not None and _same_model(champion, target) and self._journal.is_pointer_signed():
                return champion
            self._expect(champion, expected, finished)
            if not trust:
                self._check_signed(target, name)
            version = target["version"] or number_of(history, target["model"]["digest"]) or next_number(history)
            return self._move("promote", {**target, "version": version}, reason)

    def rollback(self, expected: int, to: int | None = None, reason: str = "") -> Entry:
        """Move the champion by hand back to an earlier version on the promotion path (`history.promotion_path`).

        `expected`, `reason` and the errors are as in `promote`.

        Args:
            to: the version to go back to; by default the version before the champion.
        """
        with self._locked_history() as history:
            champion, finished = self._journal.settle()
            if champion is not None and champion["version"] == to and self._journal.is_pointer_signed():
                return champion
            self._expect(champion, expected, finished)
            way = promotion_path(history)[:-1]
            if to is None and way:
                to = way[-1]
            if to not in way:
                raise RegistryError(
                    f"rollback of task {self.task!r}",
                    "an earlier version on the promotion path" + (f": {', '.join(map(str, dict.fromkeys(way)))}" if way else ""),
                    "none" if to is None else str(to),
                    f"To promote any version: fsat promote {self.task} VERSION.",
                )
            target = find_entry(history, str(to), self.task)
            self._check_signed(target, str(to))
            return self._move("rollback", target, reason)

    def restore(self, entry: Entry) -> None:
        """Add a version of this task that another registry has published, and make it the champion.

        The entry is signed anew if its signature is valid. If this registry already has a version of the task, nothing changes
        but a pointer that a killed call did not write.
        """
        with self._locked():
            if moves(self.history()):
                self._journal.settle()
            else:
                self._enter(entry, sign=signature_problem(entry, self.task) is None)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            with FileLock(make_folder(self.store.root, REGISTRY, self.task) / ".lock"):
                yield
        except OSError as error:
            raise StoreError(f"registry {self.folder}", "a folder that can be written", reason(error)) from error

    @contextmanager
    def _locked_history(self, damaged: bool = False) -> Iterator[list[Entry]]:
        if not self.history(damaged):  # checked before the lock, so that no folder is made for a mistyped name
            raise RegistryError(f"task {self.task!r}", "a model in its history", "none yet", f"Make one: fsat run {self.task}.")
        with self._locked():
            yield self.history(damaged)

    def _record(self, model: Artefact, decision: Artefact, replaces: int, hold: str) -> Outcome:
        verdict = decision.json("decision.json")
        promote = verdict["promote"] and not hold
        history = self.history()
        champion, finished = self._journal.settle()
        entry = {
            "action": "promote" if promote else "hold",
            "version": None,
            "model": model.reference(),
            "decision": decision.reference(),
            "metrics": verdict["metrics"],
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        } | ({"reason": hold} if hold else {})
        if not promote:
            runs = [old for old in history if not by_hand(old)]
            if not runs or any(runs[-1][name] != entry[name] for name in ("action", "model", "decision")):
                self._journal.append(entry)
            return "held"
        if champion is not None and _same_model(champion, entry):
            pointer = self._journal.read_pointer()
            # two reasons to write the pointer again: the model was made again with another key, and its old artefact may be gone;
            # or the pointer was not signed with the key in FSAT_SIGNING_KEY
            if pointer is None or pointer["model"] != entry["model"] or not self._journal.is_pointer_signed():
                self._journal.point_to(signed({**champion, "model": entry["model"]}, self.task))
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

    def _expect(self, champion: Entry | None, expected: int, finished: bool) -> None:
        if finished or _version(champion) != expected:
            why = (
                "by a move that was killed; it is finished now, and nothing else" if finished else f"and not {expected}; nothing"
            )
            raise ChampionChangedError(
                f"task {self.task!r}: the champion is version {_version(champion)} now {why} was moved."
                f" Look at it: fsat history {self.task}"
            )

    def _check_signed(self, target: Entry, name: str) -> None:
        fix = f"If you trust it: fsat promote {self.task} {name} --trust."
        check_signature(target, self.task, f"entry of model {name!r} of task {self.task!r}", fix)

    def _move(self, action: str, target: Entry, reason: str) -> Entry:
        find_published(self.store, self.task, target["model"])
        self._journal.mend()
        facts = {name: target[name] for name in ("version", "model", "decision", "metrics")}
        return self._enter(
            {
                "action": action,
                **facts,
                "user": user_name(),
                "reason": reason,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )

    def _enter(self, entry: Entry, sign: bool = True) -> Entry:
        line = self._journal.append(entry, sign)
        self._journal.point_to(line)
        return line


def _same_model(one: Entry, other: Mapping[str, Mapping[str, str]] | Entry) -> bool:
    return bool(one["model"]["digest"] == other["model"]["digest"])


def _version(champion: Entry | None) -> int:
    return int(champion["version"]) if champion else 0
