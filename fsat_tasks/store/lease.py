"""What is in use in a store, and by whom, so that housekeeping leaves it alone: runs, and the last use of each artefact.

- A run holds a lease: a file in `<store>/runs` that its process has locked (flock) until it ends. A process that is killed
  loses the lock at once, on whatever host; nobody has to guess from a process number or a heartbeat.
- The time of an artefact's last use is its folder's. What was used since the oldest lease began may be in use.
- The gate: who marks a use passes it, housekeeping closes it while it looks and removes. So either the mark is seen, or the
  artefact is gone before its user has looked at it.

All times are the file system's, so the clocks of the hosts may differ.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "gate", "in_use", "last_use", "living_runs", "mark_used", "tick"]

log = logging.getLogger(__name__)

GATE = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
LEASE = re.compile(r"(?P<host>.+)\.(?P<pid>\d+)\.[0-9a-f]{8}")


@dataclass(frozen=True)
class Run:
    """A living process that uses the store."""

    host: str
    pid: int
    since: float
    """Seconds since the epoch."""


@contextmanager
def gate(root: Path, closed: bool = False) -> Iterator[None]:
    """Pass the gate, beside others; or close it to all others. Raises OSError where the store cannot be written or locked."""
    descriptor = os.open(_runs(root) / GATE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if closed else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_use(root: Path) -> Iterator[None]:
    """What this process finds or makes in the store meanwhile is not removed by housekeeping."""
    path = _runs(root, make=False) / f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    try:
        with gate(root):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in NO_LOCKS:  # of anything else the first step that writes tells
            log.warning("the store's file system has no locks, so housekeeping will not know of this run: %s", error)
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def mark_used(root: Path, folder: Path) -> None:
    """Note that an artefact is used now. Where the store is read-only nothing is noted, and nothing can be removed."""
    with suppress(OSError), gate(root):
        os.utime(folder)


def last_use(folder: Path) -> float:
    """When an artefact was last used, or until when it is to be kept (`Store.keep_until`); 0 if it is gone."""
    times = [0.0]
    for path in (folder, folder / "manifest.json"):
        with suppress(FileNotFoundError, NotADirectoryError):
            times.append(path.stat().st_mtime)
    return max(times)


def living_runs(root: Path, forget_dead: bool) -> list[Run]:
    """The runs that go on, the oldest first.

    Args:
        forget_dead: remove the leases of those that were killed; only where the gate is closed, since a lease is made and
            locked in two steps.
    """
    runs = []
    for path in _runs(root, make=False).glob("*"):
        name = LEASE.fullmatch(path.name)
        if name is None:
            continue
        with suppress(FileNotFoundError):  # it has just ended
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if forget_dead:
                    path.unlink()
            except BlockingIOError:
                runs.append(Run(name["host"], int(name["pid"]), os.fstat(descriptor).st_mtime))
            finally:
                os.close(descriptor)
    return sorted(runs, key=lambda run: run.since)


def tick(root: Path) -> float:
    """The time by the store's file system, which may be another host's."""
    path = _runs(root) / GATE
    os.utime(path)
    return path.stat().st_mtime


def _runs(root: Path, make: bool = True) -> Path:
    folder = root / "runs"
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    return folder
