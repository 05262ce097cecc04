"""Copies of artefacts in folders outside the store, such as an `out` in dvc.yaml."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path

from fsat_tasks.errors import StoreError
from fsat_tasks.store.artefact import Artefact
from fsat_tasks.store.files import write_json

__all__ = ["copy_out"]


def copy_out(artefact: Artefact, folder: Path) -> None:
    """Copy an artefact's files to `folder`. An earlier copy there is replaced.

    The folder also gets an artefact.json with the artefact's reference and the names of its files. The manifest
    is not copied, because it records times and versions. If it were copied, DVC would see a change even if the
    files are the same.

    Raises:
        StoreError: if the folder cannot be written, or holds a file that is not from an earlier copy.
    """
    folder = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"--out {folder}", "a folder", "a file")
    files = sorted(artefact.manifest["files"])
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        if other := _other_files(folder):
            raise StoreError(
                f"--out {folder}",
                "a new folder, or one that holds nothing but an earlier copy",
                f"one with other files: {', '.join(other[:3])}",
                "Move them, or name another folder.",
            )
        temporary.mkdir(parents=True)
        for name in files:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artefact.path / name, temporary / name)
        write_json(temporary / "artefact.json", {**artefact.reference(), "files": files})
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except OSError as error:
        raise StoreError(f"--out {folder}", "a folder that can be written", error.strerror or str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _other_files(folder: Path) -> list[str]:
    """Return the files in a folder that its artefact.json does not list; all files if there is no artefact.json."""
    try:
        former = {"artefact.json", *json.loads((folder / "artefact.json").read_text("utf-8"))["files"]}
    except (FileNotFoundError, IsADirectoryError, ValueError, LookupError, TypeError):
        former = set()
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted({path.relative_to(folder).as_posix() for path in found} - former)
