"""Housekeeping: remove artefacts that are no longer needed, and merge small segments of the row cache.

The algorithm is mark and sweep. The mark phase finds the artefacts to keep (`reachable.py`). The sweep phase renames the
artefacts that are not kept, parents last, and deletes nothing yet. The store has a read-write lock, called the gate
(`lease.py`). During both phases, the gate is closed to all processes but this one. Files are deleted once the gate is open.

Housekeeping may be killed at any time: the store stays intact, and the next call continues the work.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsat_tasks.errors import StoreError
from fsat_tasks.housekeeping.leftovers import find_leftovers, remove_checkpoint, tree_bytes
from fsat_tasks.housekeeping.reachable import (
    DAY,
    Keep,
    Links,
    artefact_folders,
    children_first,
    is_segment,
    mark,
    read_links,
)
from fsat_tasks.store import Store
from fsat_tasks.store.folders import make_folder
from fsat_tasks.store.lease import Lease, gate, last_use, living_runs, tick
from fsat_tasks.store.unfinished import unfinished_path

__all__ = ["housekeep"]

log = logging.getLogger(__name__)


def housekeep(
    store: Store, keep_days: int = Keep.days, dry_run: bool = False, keep_versions: int | None = None
) -> dict[str, Any]:
    """Remove artefacts that are not needed and were not used for `keep_days` days. Concurrent calls wait for each other.

    Args:
        keep_days: number of days that an artefact is kept after its last use. With 0, only the artefacts that the registry or a
            living run needs are kept.
        dry_run: whether to report what would be done, and change nothing.
        keep_versions: number of newest versions of each task whose files are needed, at least 1; None for all. The champion is
            always needed.

    Returns:
        - `removed`: kind of artefact or leftover -> count and bytes.
        - `bytes`: total size of everything in `removed`.
        - `merged`: two numbers, `segments` and `into`. Housekeeping replaced `segments` small segments of the row cache by
          `into` larger ones.
        - `kept`: reason -> count and bytes.
        - `runs`: the living runs. Each has its host, its pid, and the time of its start as `since`.
        - `keep_days`, `keep_versions` and `dry_run`, the arguments.

    Raises:
        RegistryError: a champion or a history cannot be read. In that case nothing is removed.
        StoreError: the store cannot be written, or its file system has no locks.
    """
    root, keep = store.root, Keep(keep_days, keep_versions)
    try:
        if not root.is_dir():
            return _Report(keep_days, keep_versions, dry_run).to_json()
        if dry_run:
            return _report(root, _look(root, keep, time.time()), dry_run=True).to_json()
        with _alone(root):
            return _clean(store, keep).to_json()
    except OSError as error:
        raise StoreError(f"store {root}", "a folder that can be read, written and locked", str(error)) from error


@dataclass(frozen=True)
class _Plan:
    """The artefacts to remove, keep and merge."""

    keep: Keep
    runs: list[Lease]
    links: dict[Path, Links]
    kept: dict[Path, str]
    removed: list[Path]
    """Artefacts to remove, children before their parents."""
    leftovers: dict[str, list[Path]]
    to_merge: list[list[Path]]


@dataclass
class _Report:
    """The figures that `housekeep` returns."""

    keep_days: int
    keep_versions: int | None
    dry_run: bool
    removed: dict[str, dict[str, int]] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    merged: dict[str, int] = field(default_factory=lambda: {"segments": 0, "into": 0})
    runs: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "bytes": sum(found["bytes"] for found in self.removed.values())}


def _clean(store: Store, keep: Keep) -> _Report:
    root = store.root
    known = _read_all_links(root, {})  # read before the gate is closed, because reading takes most of the time
    with gate(root, closed=True):
        plan = _look(root, keep, tick(root), known)
        aside = [_set_aside(folder) for folder in plan.removed]
    report = _report(root, plan, dry_run=False)
    for folder in [*aside, *plan.leftovers["unfinished"], *plan.leftovers["corrupt"]]:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in plan.leftovers["checkpoints"]:
        remove_checkpoint(folder)
    for group in plan.to_merge:
        try:
            _merge(store, group, report)
        except StoreError as error:  # for example, the disk is full
            log.warning("segments of the row cache are not merged: %s", error)
    return report


def _look(root: Path, keep: Keep, now: float, known: dict[Path, Links] | None = None) -> _Plan:
    """Decide what to remove, keep and merge. While the gate is closed, the decision cannot become outdated.

    Args:
        now: the time at this moment, by the clock of the store's file system, in seconds since the epoch.
        known: links that were read before the gate was closed; None in a dry run.
    """
    runs = living_runs(root, forget_dead=known is not None)
    run_cutoff = runs[0].since if runs else math.inf
    links = _read_all_links(root, known or {})
    kept = mark(root, links, run_cutoff, now, keep)
    removed = children_first((folder for folder in links if folder not in kept), links)
    idle = [folder for folder in kept if is_segment(folder) and last_use(folder) < run_cutoff]
    leftovers = find_leftovers(root, now, run_cutoff, now - keep.days * DAY)
    return _Plan(keep, runs, links, kept, removed, leftovers, _groups(idle))


def _read_all_links(root: Path, known: dict[Path, Links]) -> dict[Path, Links]:
    return {folder: known.get(folder) or read_links(root, folder) for folder in artefact_folders(root)}


def _groups(segments: list[Path]) -> list[list[Path]]:
    from fsat_tasks.encoders.row_merge import groups

    return groups(sorted(segments))


def _merge(store: Store, group: list[Path], report: _Report) -> None:
    """Write the merged segment, then remove the segments from which it was made. A segment that a living run uses stays."""
    from fsat_tasks.encoders.row_merge import merge

    merged = merge(store, group)
    if merged is None:
        return
    with gate(store.root, closed=True):
        runs = living_runs(store.root, forget_dead=True)
        cutoff = runs[0].since if runs else math.inf
        aside = [_set_aside(folder) for folder in group if folder != merged.path and last_use(folder) < cutoff]
    for folder in aside:
        shutil.rmtree(folder, ignore_errors=True)
    report.merged["segments"] += len(aside)
    report.merged["into"] += 1


def _set_aside(folder: Path) -> Path:
    """Rename an artefact's folder as if it were unfinished, so that no run finds it.

    If this process dies, the next call removes the folder.
    """
    aside = unfinished_path(folder)
    with suppress(FileNotFoundError):  # another process has found the artefact damaged and moved it away
        folder.rename(aside)
    return aside


def _report(root: Path, plan: _Plan, dry_run: bool) -> _Report:
    report = _Report(plan.keep.days, plan.keep.versions, dry_run)
    for folder in plan.removed:
        _count(report.removed, "rows" if is_segment(folder) else folder.parent.parent.name, plan.links[folder].bytes)
    for kind, paths in plan.leftovers.items():
        for path in paths:
            _count(report.removed, kind, tree_bytes(path))
    for folder, reason in plan.kept.items():
        _count(report.kept, reason, plan.links[folder].bytes)
    if dry_run:
        report.merged = {"segments": sum(map(len, plan.to_merge)), "into": len(plan.to_merge)}
    report.runs = [
        {"host": run.host, "pid": run.pid, "since": datetime.fromtimestamp(run.since, UTC).isoformat(timespec="seconds")}
        for run in plan.runs
    ]
    return report


def _count(counts: dict[str, dict[str, int]], name: str, size: int) -> None:
    found = counts.setdefault(name, {"count": 0, "bytes": 0})
    found["count"] += 1
    found["bytes"] += size


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold a lock, so that only one process at a time does housekeeping."""
    from filelock import FileLock

    with FileLock(make_folder(root, "runs") / "housekeeping.lock"):
        yield
