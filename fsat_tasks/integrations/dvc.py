"""Find the DVC repository of the data folder, and call the `dvc` command.

The command is called instead of DVC's Python API, so that each call is a separate process. DVC's logging, threads, signal
handlers and imports (half a second, 250 modules) therefore do not affect an Airflow worker.
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

from fsat_tasks.errors import DvcError, SnapshotError, StoreError, reason
from fsat_tasks.runtime.logs import hide_logins

__all__ = ["default_remote", "find_repository", "locked", "require_repository", "run_dvc", "uncommitted"]

log = logging.getLogger(__name__)

LOCK_SECONDS = 600.0
"""Maximum seconds that a call waits for DVC's lock. Another process may hold the lock for as long as a transfer takes."""
RETRY_SECONDS = 2.0
BUSY = ("Unable to acquire lock", "is busy, it is being")
"""Parts of the messages that DVC prints if another DVC process holds the lock of the repository or of a file."""


def find_repository(data: Path) -> Path | None:
    """Return the root of the DVC repository that contains the folder `data`, or None.

    The root must be in a Git repository, because Git keeps the .dvc files.
    """
    for folder in (data.resolve(), *data.resolve().parents):
        if (folder / ".dvc").is_dir():
            return folder if any((root / ".git").exists() for root in (folder, *folder.parents)) else None
    return None


def require_repository(data: Path) -> Path:
    """Return the result of `find_repository`. Raises SnapshotError if there is no repository or DVC is not installed."""
    root = find_repository(data)
    if root is None:
        git = next((folder for folder in (data.resolve(), *data.resolve().parents) if (folder / ".git").exists()), None)
        raise SnapshotError(
            f"FSAT_DATA {data}",
            "a folder in a Git repository with DVC",
            "one outside of such a repository" if git is None else f"one in the Git repository {git}, which has no DVC",
            "Make one of a folder above it: git init && dvc init." if git is None else f"Add DVC to it: cd {git} && dvc init.",
        )
    if importlib.util.find_spec("dvc") is None:
        raise SnapshotError(f"repository {root}", "DVC in fsat's environment", "none", "Install it: pip install 'fsat[dvc]'.")
    return root


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Context manager: hold a lock, so that one fsat process at a time works on snapshots.

    DVC's own lock is not enough, because it covers only one call.
    """
    from filelock import FileLock

    try:
        (root / ".dvc" / "tmp").mkdir(exist_ok=True)
        with FileLock(root / ".dvc" / "tmp" / "fsat.lock"):
            yield
    except OSError as error:
        what = reason(error) + (f": {error.filename}" if error.filename else "")
        raise StoreError(f"repository {root}", "a folder that can be written", what) from error


def run_dvc(root: Path, *arguments: str) -> str:
    """Call DVC in the repository, wait for its lock, and return its output.

    --quiet is not used, because it would hide why a call failed.

    Raises:
        DvcError: DVC ended with an error.
    """
    end = time.monotonic() + LOCK_SECONDS
    while True:
        done = _call([sys.executable, "-m", "dvc", *arguments], root)
        if done.returncode == 0:
            return done.stdout
        if not any(sign in done.stderr for sign in BUSY) or time.monotonic() > end:
            raise DvcError(f"dvc {' '.join(arguments)} in {root}: {_complaint(done.stderr) or f'exit code {done.returncode}'}")
        log.info("another DVC process is using %s; waiting for it", root)
        time.sleep(RETRY_SECONDS)


def default_remote(root: Path) -> str | None:
    """Return the name of the repository's default remote, or None if there is no default remote."""
    return next(
        (line.split("=", 1)[1] for line in run_dvc(root, "config", "--list").splitlines() if line.startswith("core.remote=")),
        None,
    )


def uncommitted(root: Path, *names: str) -> list[str]:
    """Return all `names` if any of these files is not committed, or if git cannot tell. Else return an empty list."""
    try:
        done = _call(["git", "status", "--porcelain", "-z", "--", *names], root)
    except FileNotFoundError:
        return list(names)
    return list(names) if done.returncode != 0 or done.stdout else []


def _call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # no shell is used, and task names were checked before
    return subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603


def _complaint(stderr: str) -> str:
    """Return DVC's error in one line, without its links and its request for a bug report."""
    lines = [line.strip() for line in stderr.splitlines()]
    start = next((at for at, line in enumerate(lines) if line.startswith("ERROR: ")), 0)
    kept = [line.removeprefix("ERROR: ") for line in lines[start:] if line and not line.startswith(("<http", "Having any"))]
    return hide_logins(" ".join(kept))  # a remote's address may contain a login
