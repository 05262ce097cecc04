"""Unfinished folders: filled beside their final name, under a name that says which process fills them, and then renamed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Owner", "finish", "make_unfinished", "read_owner", "unfinished_path"]

_NAME = re.compile(r"\.[0-9a-f]{64}\.(?P<host>.+)\.(?P<pid>[0-9]{1,9})\.[0-9a-f]{8}")


@dataclass(frozen=True)
class Owner:
    """The process that fills an unfinished folder."""

    host: str
    pid: int

    @property
    def is_dead(self) -> bool:
        """True if the process ran on this machine and has ended. Processes of other machines may be alive."""
        return self.host == socket.gethostname() and not _alive(self.pid)


def unfinished_path(final: Path) -> Path:
    """Return a new name beside `final` for a folder that this process fills."""
    return final.with_name(f".{final.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}")


def read_owner(path: Path) -> Owner | None:
    """Return the owner of an unfinished folder, or None if the path is not the name of one."""
    name = _NAME.fullmatch(path.name)
    return Owner(name["host"], int(name["pid"])) if name else None


def make_unfinished(final: Path) -> Path:
    """Make an empty folder beside `final`. Remove those for `final` that killed processes of this machine left.

    Raises:
        OSError: the folder cannot be made.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{final.name}.*"):
        owner = read_owner(left)
        if owner is not None and owner.is_dead:
            shutil.rmtree(left, ignore_errors=True)
    folder = unfinished_path(final)
    folder.mkdir()
    return folder


def finish(folder: Path, final: Path) -> bool:
    """Give a complete folder its final name, with everything on disk.

    Returns:
        False if another process has already made the final folder, which stays.

    Raises:
        OSError: the folder cannot be synced or renamed.
    """
    for path in [*folder.rglob("*"), folder]:
        _sync(path)
    try:
        folder.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        return False
    _sync(final.parent)
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no process has a number that large
        return False
    except PermissionError:
        return True
    return True
