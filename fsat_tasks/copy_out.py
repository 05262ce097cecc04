"""Copy an artefact's files to a folder of the user's, such as an out of dvc.yaml."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from fsat_tasks.errors import StoreError
from fsat_tasks.store import Artefact, write_json

__all__ = ["copy_out"]


def copy_out(artefact: Artefact, folder: Path) -> None:
    """Replace `folder` by the artefact's files and artefact.json, its reference.

    The manifest stays in the store: it has times and names of machines, while what is copied here is the same for the
    same work, so that DVC sees a change only where there is one.

    Raises:
        StoreError: where the folder cannot be written, or holds something that is not such a copy.
    """
    folder = folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"--out {folder}", "a folder", "a file")
    if folder.exists() and any(folder.iterdir()) and not (folder / "artefact.json").is_file():
        raise StoreError(f"--out {folder}", "a new folder or one that fsat wrote", "a folder with other files")
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.mkdir(parents=True)
        for name in artefact.manifest["files"]:
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artefact.path / name, temporary / name)
        write_json(temporary / "artefact.json", artefact.reference())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except OSError as error:
        raise StoreError(f"--out {folder}", "a folder that can be written", error.strerror or str(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
