"""Errors that a user can act on. Each message names the place, what was expected, what was found, and the fix."""

from __future__ import annotations

__all__ = [
    "AirflowError",
    "ChampionChangedError",
    "DataError",
    "DeviceError",
    "DivergedError",
    "DvcError",
    "EncoderError",
    "FsatError",
    "InputError",
    "OutOfMemoryError",
    "RegistryError",
    "SnapshotError",
    "StoreError",
    "TaskError",
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
        super().__init__(f"{where}: expected {expected}, got {got}." + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        return type(self), (self.where, self.expected, self.got, self.fix)


class TaskError(InputError):
    """A task folder, its name or its task.yaml is not valid."""


class DataError(InputError):
    """A data file, or a row in it, is not valid."""


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


class DivergedError(FsatError):
    """Fine-tuning diverged: the features are NaN or infinite. The ladder skips this rung."""
