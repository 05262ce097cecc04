"""Folders outside the store that are written whole or not at all, such as an `out` in dvc.yaml."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fsat_tasks.errors import StoreError, reason
from fsat_tasks.runtime.regular_file import NO_FILE, read_regular
from fsat_tasks.store.artefact import Artefact
from fsat_tasks.store.files import sha256_file, write_json

__all__ = [
    "LISTING",
    "AddFiles",
    "check_folder",
    "check_out_folder",
    "check_place",
    "checksums",
    "copy_out",
    "listed_files",
    "no_files",
    "whole_folder",
]

LISTING = "artefact.json"
"""File that lists the files of a copy."""
MOVE = "Move them, or name another folder."

AddFiles = Callable[[Path], Sequence[str]]
"""Function that writes more files to a folder, and returns their names."""


def no_files(folder: Path) -> Sequence[str]:
    """Write no more files."""
    return ()


def copy_out(artefact: Artefact, folder: Path, more: AddFiles = no_files) -> None:
    """Copy an artefact's files to `folder`. An earlier copy there is replaced.

    The folder also gets an artefact.json with the artefact's reference, and the names and the sha256 of its files. The manifest
    is not copied, because it records times and versions. If it were copied, DVC would see a change even if the
    files are the same.

    Args:
        more: function that writes more files beside those of the artefact.

    Raises:
        StoreError: as `check_folder`, or if the folder cannot be written.
    """
    files = sorted(artefact.manifest["files"])
    with whole_folder(folder, _option(folder), LISTING) as temporary:
        for name in files:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artefact.path / name, temporary / name)
        names = sorted({*files, *more(temporary)})
        write_json(temporary / LISTING, {**artefact.reference(), "files": checksums(temporary, names)})


def checksums(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Return name -> sha256, as the listing of a folder has it under `files`."""
    return {name: sha256_file(folder / name) for name in names}


@contextmanager
def whole_folder(folder: Path, where: str, listing: str) -> Iterator[Path]:
    """Context manager that yields an empty folder. At the end, it takes the place of `folder`, unless an error was raised.

    Args:
        folder: folder to write. An earlier one is replaced if it holds no other files than it lists, and these as it lists them.
        where: name of the folder in errors.
        listing: JSON file that the caller writes into the folder. `files` in it has name -> sha256 of all other files.

    Raises:
        StoreError: as `check_folder`, or if the folder cannot be written.
    """
    folder = folder.absolute()
    check_folder(folder, where, listing)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _put_in_place(temporary, folder)
    except OSError as error:
        raise _unwritable(where, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_out_folder(folder: Path) -> None:
    """Check the folder of the option --out, as `check_folder` does, before the work whose result is copied there."""
    check_folder(folder.absolute(), _option(folder), LISTING)


def check_folder(folder: Path, where: str, listing: str = LISTING) -> None:
    """Check that `whole_folder` can put a folder in the place of this one. `where` names it in errors.

    Raises:
        StoreError: as `check_place`, or if the folder holds a file that its listing does not have, or that was changed.
    """
    check_place(folder, where)
    try:
        found = _files(folder)
        former = listed_files(folder, listing)
        if former is None and listing in found and _lists_names_alone(folder, listing):
            got = f"one that an older version of fsat wrote, whose {listing} has no checksums"
            raise StoreError(
                where, "a new folder, or a copy that fsat can check", got, "Name another folder, or remove this one."
            )
        known = former or {}
        own = {listing} if former is not None else set()
        if other := sorted(found - known.keys() - own):
            expected = "a new folder, or one that holds nothing but an earlier copy"
            raise StoreError(where, expected, f"one with other files: {', '.join(other[:3])}", MOVE)
        if changed := sorted(name for name in found & known.keys() if not _is_as_listed(folder / name, known[name])):
            got = f"one in which files were changed: {', '.join(changed[:3])}"
            raise StoreError(where, "a new folder, or an earlier copy as it was written", got, MOVE)
    except OSError as error:
        raise _unwritable(where, error) from error


def check_place(folder: Path, where: str) -> None:
    """Check that a folder can be put at a path, whatever is in the one that is there. `where` names it in errors.

    Raises:
        StoreError: if there is a link, a file or a mount point, or if the folder above it cannot be written.
    """
    expected = "a new folder or one that fsat wrote"
    try:
        if folder.is_symlink():
            raise StoreError(where, expected, "a link", "Name the folder that it leads to, or another one.")
        if folder.exists() and not folder.is_dir():
            raise StoreError(where, "a folder", "a file")
        if os.path.ismount(folder):
            raise StoreError(where, expected, "a mount point, which cannot be replaced", "Name a folder inside of it.")
        above = next(place for place in folder.absolute().parents if place.exists())
    except OSError as error:
        raise _unwritable(where, error) from error
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        got = "one in a folder that cannot be written" if above.is_dir() else "one below a file"
        raise StoreError(where, "a folder that can be written", f"{got}: {above}", "Name another folder.")


def listed_files(folder: Path, listing: str = LISTING) -> dict[str, str] | None:
    """Return name -> sha256 of the files that a folder's listing has, or None if it is none."""
    files = _read_listing(folder, listing)
    return files if isinstance(files, dict) and all(isinstance(one, str) for one in files.values()) else None


def _lists_names_alone(folder: Path, listing: str) -> bool:
    files = _read_listing(folder, listing)
    return isinstance(files, list) and bool(files) and all(isinstance(name, str) for name in files)


def _read_listing(folder: Path, listing: str) -> object:
    try:
        return json.loads(read_regular(folder / listing))["files"]
    except (*NO_FILE, ValueError, LookupError, TypeError, RecursionError):
        return None


def _files(folder: Path) -> set[str]:
    """Return the names of everything in a folder except folders. A link is not followed."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}


def _is_as_listed(path: Path, sha256: str) -> bool:
    try:
        return not path.is_symlink() and sha256_file(path) == sha256
    except NO_FILE:
        return False


def _option(folder: Path) -> str:
    return f"--out {folder.absolute()}"


def _unwritable(where: str, error: OSError) -> StoreError:
    return StoreError(where, "a folder that can be written", reason(error))


def _put_in_place(new: Path, folder: Path) -> None:
    """Replace a folder by a new one. The former folder is renamed before it is removed, so that no half of it is ever seen."""
    while True:
        former = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
        with suppress(FileNotFoundError):
            folder.rename(former)
        try:
            new.rename(folder)
            return
        except OSError as error:
            with suppress(OSError):
                former.rename(folder)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else another process has just put its copy there
                raise
        finally:
            shutil.rmtree(former, ignore_errors=True)
