"""Errors that a user can act on. Every one says what was expected, what came, where, and what to do."""

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
    """Base of all errors raised on purpose; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(FsatError):
    """Something that the user gave cannot be used. Trying again without a change cannot help.

    Args:
        where: file, row and field, or option, as the user would look for it.
        expected: what is accepted there.
        got: what came instead.
        fix: what to do about it, as a sentence; may be empty.
    """

    exit_code = 2

    def __init__(self, where: str, expected: str, got: str, fix: str = "") -> None:
        self.where, self.expected, self.got, self.fix = where, expected, got, fix
        super().__init__(f"{where}: expected {expected}, got {got}." + (f" {fix}" if fix else ""))

    def __reduce__(self) -> tuple[type, tuple[str, str, str, str]]:
        return type(self), (self.where, self.expected, self.got, self.fix)


class TaskError(InputError):
    """A task folder, its name or its task.yaml."""


class DataError(InputError):
    """A file of rows."""


class EncoderError(InputError):
    """The encoder's name or its files."""


class DeviceError(InputError):
    """The device asked for is not on this machine."""


class StoreError(InputError):
    """The store's folder cannot be read or written."""


class AirflowError(InputError):
    """Airflow is not installed, or does not start."""


class RegistryError(InputError):
    """A model that was asked for is not published, or the registry cannot be read."""


class SnapshotError(InputError):
    """A snapshot cannot be made where fsat is called, was never made, or its files are not those that were published."""


class ChampionChangedError(FsatError):
    """Another run moved the champion while this one decided; a later try decides against the new one."""


class OutOfMemoryError(FsatError):
    """The machine or the GPU ran out of memory; a later try may find more."""


class DvcError(FsatError):
    """A call of DVC failed, such as one that needs a remote that cannot be reached; a later try may succeed."""


class DivergedError(FsatError):
    """Training ran away: numbers that are none. The ladder goes on without the rung."""
