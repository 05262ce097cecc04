"""Leases of runs and the last use of each artefact. They tell housekeeping which artefacts may be in use.

- A run holds a lease: a file in `<store>/runs` that the run's process keeps locked (flock) until the process ends.
  A process that is killed loses the lock at once, on any host, so no process id or heartbeat has to be checked.
- The modification time of an artefact's folder is the time of its last use. An artefact may be in use if
  its last use is later than the start of the oldest living lease.
- The gate is a read-write lock. A run takes it shared while it marks an artefact as used. Housekeeping
  takes it exclusively while it decides which artefacts to remove and renames them. So either housekeeping
  sees the mark, or the artefact has been renamed before the run reads it.

All times come from the store's file system, so the hosts' clocks may differ.
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

from fsat_tasks.store.folders import find_link, list_paths, make_folder

__all__ = ["Lease", "gate", "in_use", "last_use", "living_runs", "mark_used", "tick"]

log = logging.getLogger(__name__)

RUNS, GATE = "runs", ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
LEASE = re.compile(r"(?P<host>.+)\.(?P<pid>[0-9]{1,9})\.[0-9a-f]{8}")


@dataclass(frozen=True)
class Lease:
    """A lease on the store, with the host and the id of the process that holds it."""

    host: str
    pid: int
    since: float
    """Start of the lease, in seconds since the epoch."""


@contextmanager
def gate(root: Path, closed: bool = False) -> Iterator[None]:
    """Context manager that holds the gate: shared with other holders, or exclusively if `closed`.

    Raises:
        OSError: if the store cannot be written or locked.
        StoreError: if the folder of the gate is a link.
    """
    descriptor = os.open(make_folder(root, RUNS) / GATE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if closed else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_use(root: Path) -> Iterator[None]:
    """Context manager. Inside it, housekeeping removes no artefact that this process reads or writes."""
    path = root / RUNS / f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    try:
        with gate(root):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in NO_LOCKS:  # any other error is reported by the first step that writes
            log.warning("the store's file system has no locks, so housekeeping will not know of this run: %s", error)
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def mark_used(root: Path, folder: Path) -> None:
    """Record that an artefact is used now. A read-only store records nothing, but nothing can be removed there.

    The same holds for an artefact behind a link.
    """
    if find_link(root, folder) is not None:
        return
    with suppress(OSError), gate(root):
        os.utime(folder)


def last_use(folder: Path) -> float:
    """Return the time of an artefact's last use, or the time until which `Store.keep_until` keeps it, if that is later.

    The time is in seconds since the epoch. It is 0 if the artefact is gone.
    """
    times = [0.0]
    for path in (folder, folder / "manifest.json"):
        with suppress(FileNotFoundError, NotADirectoryError):
            times.append(path.stat().st_mtime)
    return max(times)


def living_runs(root: Path, forget_dead: bool) -> list[Lease]:
    """Return the runs that hold a lease, oldest first.

    Args:
        forget_dead: whether to remove the leases of killed runs. The gate must then be closed, because a lease is
            first made and then locked, and a lease that is not yet locked looks dead.
    """
    runs = []
    for path in list_paths(root, RUNS):
        name = LEASE.fullmatch(path.name)
        if name is None:
            continue
        with suppress(FileNotFoundError):  # the run has just ended
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if forget_dead:
                    path.unlink()
            except BlockingIOError:
                runs.append(Lease(name["host"], int(name["pid"]), os.fstat(descriptor).st_mtime))
            finally:
                os.close(descriptor)
    return sorted(runs, key=lambda run: run.since)


def tick(root: Path) -> float:
    """Return the time now by the clock of the store's file system. This clock may be another host's."""
    path = make_folder(root, RUNS) / GATE
    os.utime(path)
    return path.stat().st_mtime
