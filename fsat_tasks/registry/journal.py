"""The two files of a task's registry: `history.jsonl`, which only grows, and `champion.json`, the pointer.

The champion is the last move of the history. The pointer is a copy of it, written after it. Each line of the history has, as
`before`, the sha256 of all lines before it. So a line that is lost or altered is noticed, unless it is the last one. If the last
line is lost and it moved the champion, this is noticed because the pointer has no line.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fsat_tasks.errors import RegistryError, reason
from fsat_tasks.registry.history import MOVES, Entry, champion_of, moves, parse_entry, same_move
from fsat_tasks.registry.signature import signature_problem, signed
from fsat_tasks.runtime.regular_file import append_regular, read_regular
from fsat_tasks.store.files import canonical_json, json_text, replace_file

__all__ = ["Journal"]


class Journal:
    """The history and the pointer of one task. Callers that write hold the registry's lock."""

    def __init__(self, folder: Path, task: str) -> None:
        self.task = task
        self.history = folder / "history.jsonl"
        self.pointer = folder / "champion.json"

    def entries(self, damaged: bool = False) -> list[Entry]:
        """Return all entries, oldest first. A last line that a killed process left unfinished is ignored.

        Args:
            damaged: whether to return what is left if a line was lost. A pointer without a line then counts as the last line.

        Raises:
            RegistryError: a line is not an entry; or, unless `damaged`, a line was lost or altered.
        """
        content = _whole_lines(self.history)
        entries = self._parse(content)
        if damaged:
            return [*entries, *self._lost_line(entries)]
        before = _sha256(content[: content.rfind(b"\n", 0, -1) + 1])
        if entries and entries[-1].get("before", before) != before:  # older versions of fsat wrote no `before`
            raise self._lost(self.history, "the lines that were there when its last line was written", "others")
        return entries

    def read_pointer(self) -> Entry | None:
        """Return the entry in the pointer, or None if there is no pointer. Raises RegistryError if it is not an entry."""
        content = _read(self.pointer)
        return None if content is None else parse_entry(str(self.pointer), content, *MOVES)

    def champion(self, damaged: bool = False) -> Entry | None:
        """Return the champion's entry, or None before the first promotion.

        Args:
            damaged: whether to return the pointer, or the last move without one, if a line was lost.

        Raises:
            RegistryError: as in `entries`; or the pointer has no line.
        """
        pointer = self.read_pointer()  # before the history: a process may move the champion now, and writes the history first
        history = self.entries(damaged)
        if damaged and pointer is not None:
            return pointer
        try:
            return champion_of(history, pointer)
        except LookupError as error:
            raise self._lost(self.pointer, f"a move that {self.history.name} has", f"{error}, which has no line") from None

    def is_whole(self) -> bool:
        """Return whether all lines are there, as far as this can be known."""
        try:
            self.champion()
        except RegistryError:
            return False
        return True

    def settle(self) -> tuple[Entry | None, bool]:
        """Update the pointer if it lags behind the history. Returns the champion's entry, and whether the pointer was updated.

        The pointer lags if a process was killed after it had written the history and before it wrote the pointer.
        """
        champion, pointer = self.champion(), self.read_pointer()
        if champion is None or (pointer is not None and same_move(pointer, champion)):
            return champion, False
        self.point_to(champion)
        return champion, True

    def is_pointer_signed(self) -> bool:
        """Return whether the pointer has a valid signature, or needs none."""
        pointer = self.read_pointer()
        return pointer is not None and signature_problem(pointer, self.task) is None

    def append(self, entry: Entry, sign: bool = True) -> Entry:
        """Add a line to the history and return it. The line is on disk then."""
        content = _whole_lines(self.history)
        line = {**entry, "before": _sha256(content)}
        line = signed(line, self.task) if sign else line
        with append_regular(self.history) as file:
            file.truncate(len(content))  # removes a line that a killed process left unfinished
            file.write(canonical_json(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return line

    def point_to(self, entry: Entry) -> None:
        """Replace the pointer. It is on disk then."""
        replace_file(self.pointer, json_text(entry))

    def mend(self) -> None:
        """Add the pointer's line if it was lost, so that its version is not given again."""
        for line in self._lost_line(self._parse(_whole_lines(self.history))):
            self.append(line)

    def _parse(self, content: bytes) -> list[Entry]:
        lines = content.split(b"\n")[:-1]
        return [parse_entry(f"{self.history}, line {number}", line, *MOVES, "hold") for number, line in enumerate(lines, start=1)]

    def _lost_line(self, entries: list[Entry]) -> list[Entry]:
        pointer = self.read_pointer()
        return [] if pointer is None or any(same_move(pointer, entry) for entry in moves(entries)) else [pointer]

    def _lost(self, path: Path, expected: str, got: str) -> RegistryError:
        fix = (
            f"A line was lost or altered. Restore {self.history.name} from a backup. Or look at what is left with"
            f" fsat history {self.task}, and choose the champion with fsat promote {self.task} VERSION --trust."
        )
        return RegistryError(str(path), expected, got, fix)


def _whole_lines(path: Path) -> bytes:
    content = _read(path) or b""
    return content[: content.rfind(b"\n") + 1]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RegistryError(str(path), "a file that can be read", reason(error)) from None
