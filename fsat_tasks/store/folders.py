"""Folders of a store, found and made. Behind a link below the store, nothing is written, moved or removed.

A link may lead to files of somebody else. Artefacts behind a link can be read, because their checksums are verified.
"""

from __future__ import annotations

import os
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from fsat_tasks.errors import StoreError

__all__ = ["find_link", "list_folders", "list_paths", "make_folder", "require_no_link"]


def list_folders(root: Path, *patterns: str) -> list[Path]:
    """Return the folders below `root` whose parts match the patterns, sorted. Links are left out, and what is behind them."""
    folders = [root]
    for pattern in patterns:
        folders = [Path(entry) for folder in folders for entry in _below(folder, pattern) if entry.is_dir(follow_symlinks=False)]
    return sorted(folders)


def list_paths(root: Path, name: str) -> list[Path]:
    """Return the files and folders in the folder `name` of a store, sorted. Links are left out, and what is behind them."""
    return sorted(Path(entry) for folder in list_folders(root, name) for entry in _below(folder, "*") if not entry.is_symlink())


def make_folder(root: Path, *names: str) -> Path:
    """Make a folder below `root` unless it is there, and return its path.

    Raises:
        StoreError: if a part of the path below `root` is a link.
        OSError: if the folder cannot be made.
    """
    folder = root.joinpath(*names)
    require_no_link(root, folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_link(root: Path, path: Path) -> Path | None:
    """Return the first part of a path below `root` that is a link, or None."""
    below = [place for place in (path, *path.parents) if place != root and place.is_relative_to(root)]
    return next((place for place in reversed(below) if place.is_symlink()), None)


def require_no_link(root: Path, path: Path) -> None:
    """Raise StoreError, which names the link, if a part of a path below `root` is one."""
    if (link := find_link(root, path)) is not None:
        fix = "fsat writes and removes nothing behind a link in the store. Remove the link, or put a folder in its place."
        raise StoreError(str(link), "a folder", "a link", fix)


def _below(folder: Path, pattern: str) -> list[os.DirEntry[str]]:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
        return [entry for entry in entries if fnmatchcase(entry.name, pattern)]
    return []
