"""The DVC repository that the data root lies in, and calls of its command `dvc`.

The command, and not DVC's Python interface: a call is a process of its own, so neither DVC's logging, threads and signal
handlers nor its imports (half a second, 250 modules) come into a worker of Airflow.
"""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsat_tasks.errors import DvcError, SnapshotError, StoreError
from fsat_tasks.runtime.logs import hide_logins

__all__ = ["default_remote", "find_repository", "locked", "require_repository", "run_dvc", "uncommitted"]

log = logging.getLogger(__name__)

LOCK_SECONDS = 600.0
"""How long a call waits for other processes of DVC; each holds the repository's lock for a moment or a transfer."""
RETRY_SECONDS = 2.0
BUSY = ("Unable to acquire lock", "is busy, it is being")
"""What DVC says where another process of it holds the repository, or a file of it."""


def find_repository(data: Path) -> Path | None:
    """The root of the DVC repository that the folder `data` lies in, or None. It has to be in Git, which keeps the .dvc files."""
    for folder in (data.resolve(), *data.resolve().parents):
        if (folder / ".dvc").is_dir():
            return folder if any((root / ".git").exists() for root in (folder, *folder.parents)) else None
    return None


def require_repository(data: Path) -> Path:
    """As `find_repository`. Raises SnapshotError where there is none, or no DVC to call."""
    root = find_repository(data)
    if root is None:
        raise SnapshotError(
            f"FSAT_DATA {data}",
            "a folder in a Git repository with DVC",
            "one in none",
            "Make one of a folder above it: git init && dvc init.",
        )
    if importlib.util.find_spec("dvc") is None:
        raise SnapshotError(f"repository {root}", "DVC beside fsat", "none", "Install it: pip install 'fsat[dvc]'.")
    return root


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One process of fsat at a time works on the repository's snapshots; DVC's own lock is only for the time of a call."""
    from filelock import FileLock

    try:
        (root / ".dvc" / "tmp").mkdir(exist_ok=True)
        with FileLock(root / ".dvc" / "tmp" / "fsat.lock"):
            yield
    except OSError as error:
        what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        raise StoreError(f"repository {root}", "a folder that can be written", what) from error


def run_dvc(root: Path, *arguments: str) -> str:
    """Call DVC in the repository, wait for its lock, and return what it prints. Raises DvcError where it fails.

    Without --quiet, which keeps back why it failed.
    """
    end = time.monotonic() + LOCK_SECONDS
    while True:
        done = _call([sys.executable, "-m", "dvc", *arguments], root)
        if done.returncode == 0:
            return done.stdout
        if not any(sign in done.stderr for sign in BUSY) or time.monotonic() > end:
            raise DvcError(f"dvc {' '.join(arguments)} in {root}: {_complaint(done.stderr) or f'exit code {done.returncode}'}")
        log.info("another process of DVC is at work in %s; waiting for it", root)
        time.sleep(RETRY_SECONDS)


def default_remote(root: Path) -> str | None:
    """The name of the repository's default remote, None where it has none."""
    return next(
        (line.split("=", 1)[1] for line in run_dvc(root, "config", "--list").splitlines() if line.startswith("core.remote=")),
        None,
    )


def uncommitted(root: Path, *names: str) -> list[str]:
    """The names, if Git has not all of these files as they are, or there is no command `git` to ask; else none."""
    try:
        done = _call(["git", "status", "--porcelain", "-z", "--", *names], root)
    except FileNotFoundError:
        return list(names)
    return list(names) if done.returncode != 0 or done.stdout else []


def _call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # no shell, and only names that were checked
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603


def _complaint(stderr: str) -> str:
    """DVC's error in one line, without its links and its plea for a report."""
    lines = [line.strip() for line in stderr.splitlines()]
    start = next((at for at, line in enumerate(lines) if line.startswith("ERROR: ")), 0)
    kept = [line.removeprefix("ERROR: ") for line in lines[start:] if line and not line.startswith(("<http", "Having any"))]
    return hide_logins(" ".join(kept))  # a remote's address may have one
