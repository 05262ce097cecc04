"""Errors that a user can act on. Each message names the place, what was expected, what was found, and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "AirflowError",
    "ChampionChangedError",
    "ColumnError",
    "DataError",
    "DeviceError",
    "DivergedError",
    "DvcError",
    "EncoderError",
    "FsatError",
    "InputError",
    "OutOfMemoryError",
    "OutputError",
    "RegistryError",
    "SnapshotError",
    "StoreError",
    "TaskError",
    "did_you_mean",
    "facts",
    "reason",
]


class FsatError(Exception):
    """Base class of all errors that fsat raises on purpose. The command line exits with `exit_code`."""

    exit_code = 1


class InputError(FsatError):
    """The user's input or setup cannot be used. Trying again without a change does not help.

    Args:
        where: the place of the problem in the user's terms: file, row and field, or option.
        expected: description of what is accepted there.
        got: description of what was found in its place.
        fix: one sentence that says what to do, or an empty string.
    """

    exit_code = 2

    def __init__(self, where: str, expected: str, got: str, fix: str = "") -> None:
        self.where, self.expected, self.got, self.fix = where, expected, got, fix
        message = f"{where}: expected {expected}, got {got}." + (f" {fix}" if fix else "")
        # names and values of strangers stay in one line, and move no terminal's cursor
        super().__init__("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message))

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.where, self.expected, self.got, self.fix)


class TaskError(InputError):
    """A task folder, its name or its task.yaml is not valid."""


class DataError(InputError):
    """A data file, or a row in it, is not valid."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question that names the known word that is probably meant, and a blank; empty if none is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


class ColumnError(DataError):
    """A data file has no column of the name that was given.

    Args:
        column: the name.
        there: names of the columns that the file has.
    """

    def __init__(self, where: str, column: str, there: Sequence[str], fix: str = "", noun: str = "column") -> None:
        self.column, self.there, self.noun, self._more = column, tuple(there), noun, fix
        names = ", ".join(map(repr, there)) or "none"
        more = fix or "Name the right column in task.yaml: `text`, `label` or `slices`."
        super().__init__(where, f"a {noun} {column!r}", f"the {noun}s {names}", f"{did_you_mean(column, there)}{more}")

    def with_fix(self, fix: str) -> ColumnError:
        """Return the same error with another sentence that says what to do."""
        return ColumnError(self.where, self.column, self.there, fix, self.noun)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.where, self.column, self.there, self._more, self.noun)


class EncoderError(InputError):
    """The encoder cannot be found, or its files cannot be used."""


class DeviceError(InputError):
    """The requested device does not exist on this machine, or does not answer."""


class StoreError(InputError):
    """The store's folder cannot be read or written."""


class AirflowError(InputError):
    """Airflow is not installed, does not start, or has a setting that is not valid."""


class RegistryError(InputError):
    """The requested model is not published, or the registry cannot be read."""


class SnapshotError(InputError):
    """A snapshot cannot be made in this folder, does not exist, or does not hold the files that were published."""


class ChampionChangedError(FsatError):
    """Another run moved the champion while this run was deciding. A retry compares with the new champion."""


class OutOfMemoryError(FsatError):
    """The machine or the GPU ran out of memory. A retry may succeed when more memory is free."""


class DvcError(FsatError):
    """A DVC command failed, for example because a remote cannot be reached. A retry may succeed."""


class OutputError(FsatError):
    """Standard output cannot be written, for example because a disk is full."""


class DivergedError(FsatError):
    """Fine-tuning diverged: the features are NaN or infinite. The ladder skips this rung."""


def facts(error: BaseException) -> dict[str, Any]:
    """Return the kind of an error, its message, and `where`, `expected`, `got` and `fix`, which only an InputError has."""
    parts = {name: getattr(error, name, None) for name in ("where", "expected", "got", "fix")}
    return {"kind": type(error).__name__, "message": str(error), **parts}


def reason(error: OSError) -> str:
    """Return in a few words why the system refused something.

    `shutil.copytree` goes on after an error, and then raises one error with all of them: a list of (source, copy, reason).
    """
    if error.strerror is None and error.args and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    return error.strerror or str(error)
