"""Find and remove leftovers in a store: unfinished folders of killed runs, damaged artefacts, checkpoints and locks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fsat_tasks.store.folders import list_folders, list_paths
from fsat_tasks.store.unfinished import read_owner

__all__ = ["find_leftovers", "newest", "remove_checkpoint", "tree_bytes"]

DAY = 86_400.0
"""Number of seconds in a day."""


def find_leftovers(root: Path, now: float, run_cutoff: float, age_cutoff: float) -> dict[str, list[Path]]:
    """Return kind of leftover -> the paths that can be removed.

    Args:
        now: the time at this moment, by the clock of the store's file system, in seconds since the epoch.
        run_cutoff, age_cutoff: see `reachable.mark`.
    """
    # if the process that builds a folder may be alive, the folder stays for a day or more: no process stops writing for so long
    elsewhere = min(run_cutoff, age_cutoff, now - DAY)
    unfinished = [
        path
        for path in list_folders(root, "*", "??", ".*")
        if (owner := read_owner(path)) and newest(path) < (run_cutoff if owner.is_dead else elsewhere)
    ]
    return {
        "unfinished": unfinished,
        "corrupt": [path for path in list_paths(root, "corrupt") if newest(path) <= age_cutoff],
        "checkpoints": [path for path in _checkpoints(root) if newest(path, path.with_suffix(".lock")) <= age_cutoff],
    }


def remove_checkpoint(folder: Path) -> bool:
    """Remove a checkpoint and its lock, unless a run is using the checkpoint. Return True if checkpoint and lock were removed."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_suffix(".lock"), blocking=False)
    try:
        with lock:
            shutil.rmtree(folder, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def newest(*paths: Path) -> float:
    """Return the time of the last write in these folders, in seconds since the epoch, or 0 if none of the folders exists."""
    times = [0.0]
    for path in (below for top in paths for below in _tree(top)):
        with suppress(FileNotFoundError):
            times.append(path.lstat().st_mtime)
    return max(times)


def tree_bytes(path: Path) -> int:
    """Return the total size of the files below a path."""
    total = 0
    for below in _tree(path):
        with suppress(FileNotFoundError):
            total += 0 if below.is_dir() else below.lstat().st_size
    return total


def _tree(path: Path) -> Iterator[Path]:
    yield path
    yield from path.rglob("*")


def _checkpoints(root: Path) -> list[Path]:
    """Return the folders of all checkpoints. A returned folder need not exist: its lock may be all that is left."""
    return sorted({path.with_suffix("") for path in list_paths(root, "checkpoints")})
