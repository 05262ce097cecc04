"""Folders outside the store that are written whole or not at all, such as an `out` in dvc.yaml."""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fsat_tasks.errors import StoreError, reason
from fsat_tasks.runtime.regular_file import NO_FILE, read_regular
from fsat_tasks.store.artefact import Artefact
from fsat_tasks.store.files import write_json

__all__ = ["LISTING", "AddFiles", "copy_out", "no_files", "whole_folder"]

LISTING = "artefact.json"
"""File that lists the files of a copy."""

AddFiles = Callable[[Path], Sequence[str]]
"""Function that writes more files to a folder, and returns their names."""


def no_files(folder: Path) -> Sequence[str]:
    """Write no more files."""
    return ()


def copy_out(artefact: Artefact, folder: Path, more: AddFiles = no_files) -> None:
    """Copy an artefact's files to `folder`. An earlier copy there is replaced.

    The folder also gets an artefact.json with the artefact's reference and the names of its files. The manifest
    is not copied, because it records times and versions. If it were copied, DVC would see a change even if the
    files are the same.

    Args:
        more: function that writes more files beside those of the artefact.

    Raises:
        StoreError: if the folder cannot be written, or holds a file that is not from an earlier copy.
    """
    files = sorted(artefact.manifest["files"])
    with whole_folder(folder, f"--out {folder.absolute()}", LISTING) as temporary:
        for name in files:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artefact.path / name, temporary / name)
        names = sorted({*files, *more(temporary)})
        write_json(temporary / LISTING, {**artefact.reference(), "files": names})


@contextmanager
def whole_folder(folder: Path, where: str, listing: str) -> Iterator[Path]:
    """Context manager that yields an empty folder. At the end, it takes the place of `folder`, unless an error was raised.

    Args:
        folder: folder to write. An earlier one is replaced if it holds no other files than it lists.
        where: name of the folder in errors.
        listing: JSON file that the caller writes into the folder. `files` in it has the names of all other files.

    Raises:
        StoreError: if the folder cannot be written, or holds a file that it does not list.
    """
    folder = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise StoreError(where, "a folder", "a file")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        if other := _other_files(folder, listing):
            raise StoreError(
                where,
                "a new folder, or one that holds nothing but an earlier copy",
                f"one with other files: {', '.join(other[:3])}",
                "Move them, or name another folder.",
            )
        temporary.mkdir(parents=True)
        yield temporary
        _put_in_place(temporary, folder)
    except OSError as error:
        raise StoreError(where, "a folder that can be written", reason(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _other_files(folder: Path, listing: str) -> list[str]:
    """Return the files in a folder that its listing does not name; all files if there is no listing."""
    try:
        former = {listing, *json.loads(read_regular(folder / listing))["files"]}
    except (*NO_FILE, ValueError, LookupError, TypeError, RecursionError):
        former = set()
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted({path.relative_to(folder).as_posix() for path in found} - former)
