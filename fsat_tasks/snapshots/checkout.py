"""Check out a published version: fetch it from DVC's cache or remote, verify it, and restore its model to the store."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsat_tasks.errors import DvcError, SnapshotError, StoreError, reason
from fsat_tasks.integrations.dvc import default_remote, locked, require_repository, run_dvc
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runtime.regular_file import read_regular
from fsat_tasks.snapshots.version import MISSING, SNAPSHOT, Version, content, read_snapshot, wrong_files
from fsat_tasks.store import Store
from fsat_tasks.store.copies import check_place
from fsat_tasks.store.files import sha256_file
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["restore_version"]


def restore_version(task: str, number: int, out: Path | None = None) -> dict[str, Any]:
    """Fetch `published/<task>/v<number>/`, copy it to `out`, and restore the model and its decision to the store.

    If the registry has no version of the task yet, this version becomes the champion, so that `fsat predict` works. Otherwise the
    registry does not change.

    Args:
        task: name of the task.
        number: the version.
        out: folder for a copy of the version; by default no copy is made.

    Returns:
        `task`, `version`, `path`, `out`, `model` (the model's reference), `restored` (whether the store lacked the model before
        this call) and `champion` (the champion's version in the registry).

    Raises:
        SnapshotError: FSAT_DATA is not in a repository, the version does not exist, or its files are not those that
            were published.
        DvcError: DVC's cache lacks a part of the version, and the remote lacks this part too or cannot be reached.
        StoreError: the store or `out` cannot be written, or already holds different files under the names of the version's files.
    """
    workspace = Workspace.from_env()
    version = Version(require_repository(workspace.data), task, number)
    if out is not None:
        check_place(out.absolute(), f"--out {out}")
    with locked(version.root):
        meta = version.meta()
        if meta is None:
            known = ", ".join(map(str, version.all())) or "none"
            raise SnapshotError(
                f"version {number} of task {task!r}",
                f"the file {version.name}.dvc in {version.root}",
                "none",
                f"Versions there: {known}. Pull the commit that has it (git pull), or make it with: fsat snapshot {task}.",
            )
        entry = _bring_back(version, meta)["entry"]
        if out is not None:
            _copy(version.folder, out.absolute())
        store, registry = Store(workspace.store), Registry(workspace.store, task)
        with store.in_use():
            restored = [store.restore(version.folder / entry[name]["step"], entry[name]) for name in ("model", "decision")]
            registry.restore(entry)
    return {
        "task": task,
        "version": number,
        "path": str(version.folder),
        "out": None if out is None else str(out.absolute()),
        "model": entry["model"],
        "restored": restored[0],
        "champion": registry.version(),
    }


def _bring_back(version: Version, meta: Mapping[str, str]) -> dict[str, Any]:
    """Let DVC fetch the version's folder if files are missing. Verify the folder, and return the content of snapshot.json."""
    wrong = _wrong_file(version, meta) if version.folder.is_dir() else None
    if wrong is not None and wrong[1] != MISSING:
        raise SnapshotError(
            f"{version.name}/{wrong[0]}", "the file that was published", wrong[1], f"Move {version.folder} away, and try again."
        )
    if wrong is not None or not version.folder.is_dir():
        _fetch(version)
        wrong = _wrong_file(version, meta)
    if wrong is not None:
        cached = _cached(version, meta["md5"], wrong[0])
        fix = f"Remove {cached}, and try again; if that does not help, the remote's copy is damaged too."
        shutil.rmtree(version.folder, ignore_errors=True)  # safe, because the folder has only files that DVC can bring back
        raise SnapshotError(f"{version.name}/{wrong[0]}", "the file that was published", f"{wrong[1]} from DVC", fix)
    snapshot = read_snapshot(version.folder)
    assert snapshot is not None, "just checked"
    return snapshot


def _wrong_file(version: Version, meta: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the first file that differs from the published one and what was found in its place, or None if all are right.

    Altered files come before missing ones, because DVC can bring back only files that are missing.
    """
    path = version.folder / SNAPSHOT
    if not path.is_file():
        return SNAPSHOT, MISSING
    snapshot = read_snapshot(version.folder)
    if snapshot is None or sha256_file(path) != meta["snapshot"] or snapshot["entry"]["version"] != version.number:
        return SNAPSHOT, "another one"
    wrong = wrong_files(version.folder, snapshot["files"])
    return min(wrong.items(), key=lambda item: item[1] == MISSING, default=None)


def _fetch(version: Version) -> None:
    """Fetch the version from DVC's cache, or from the remote if the cache lacks a part of it."""
    target = f"{version.name}.dvc"
    try:
        run_dvc(version.root, "checkout", target)
    except DvcError:
        try:
            run_dvc(version.root, "pull", target)
        except DvcError as error:
            remote = default_remote(version.root)
            source = f"remote {remote!r} did not give the rest" if remote else "there is no default remote to ask for the rest"
            raise DvcError(f"{version.name}: DVC's cache lacks a part of it, and {source}: {error}") from error


def _cached(version: Version, md5: str, name: str) -> Path:
    """Return the path of one of the version's files in DVC's cache.

    DVC names a cached file by its md5. The cache also has a listing of the version's folder, which maps names to md5s. For a file
    that the listing lacks, the path of the listing is returned.
    """
    objects = Path(run_dvc(version.root, "cache", "dir").strip()) / "files" / "md5"
    listing = objects / md5[:2] / md5[2:]
    try:
        files = {entry["relpath"]: entry["md5"] for entry in json.loads(read_regular(listing))}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):  # the listing itself is damaged
        return listing
    return objects / files[name][:2] / files[name][2:] if name in files else listing


def _copy(folder: Path, out: Path) -> None:
    """Copy a version to `out`, which must be new, empty, or a copy of this version."""
    if out.exists() and any(out.iterdir()):
        if content(out) != content(folder):
            raise StoreError(
                f"--out {out}",
                "a new or empty folder, or a copy of this version",
                "one with other files",
                "Move them, or name another folder.",
            )
        return
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    try:
        shutil.copytree(folder, temporary, copy_function=shutil.copyfile)
        temporary.replace(out)
    except OSError as error:
        raise StoreError(f"--out {out}", "a folder that can be written", reason(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
