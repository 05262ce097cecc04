"""A published version in the repository: its folder, its .dvc file, and the checksums that connect the two.

The folder is `published/<task>/v<version>/`. One of its files, snapshot.json, has the sha256 of every other file. The .dvc file,
`published/<task>/v<version>.dvc`, is committed to Git. It has DVC's checksum of the folder and, under `meta`, the model's digest
and the sha256 of snapshot.json. Anybody who trusts the commit can therefore verify every file, even if the
files come from a DVC remote that nobody trusts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsat_tasks.errors import RegistryError, SnapshotError, reason
from fsat_tasks.registry.history import parse_entry
from fsat_tasks.runtime.regular_file import NO_FILE, read_regular
from fsat_tasks.store.files import replace_file, sha256_file
from fsat_tasks.tasks.workspace import check_task_name

__all__ = ["MISSING", "SNAPSHOT", "Version", "content", "read_snapshot", "wrong_files"]

SNAPSHOT = "snapshot.json"
MISSING = "no file"
LARGEST_DVC_FILE = 1_000_000
"""Maximum size of a .dvc file in bytes. fsat writes about 500."""


@dataclass(frozen=True)
class Version:
    """One version of a task in the repository at `root`. The version need not exist."""

    root: Path
    task: str
    number: int

    def __post_init__(self) -> None:
        check_task_name(self.task)

    @property
    def name(self) -> str:
        """Path of the version's folder, relative to the repository."""
        return f"published/{self.task}/v{self.number}"

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def dvc_file(self) -> Path:
        return self.root / f"{self.name}.dvc"

    def all(self) -> list[int]:
        """Return the task's versions in the repository, in ascending order."""
        numbers = (path.stem.removeprefix("v") for path in self.folder.parent.glob("v*.dvc"))
        return sorted(int(number) for number in numbers if number.isdecimal())

    def meta(self) -> dict[str, str] | None:
        """Read the .dvc file.

        Returns:
            `md5` (DVC's checksum of the folder), `model` (the model's digest) and `snapshot` (the sha256 of snapshot.json). None
            if the .dvc file does not exist or `write_meta` has not completed it.

        Raises:
            SnapshotError: the .dvc file is not one that `fsat snapshot` wrote.
        """
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            written = YAML(typ="safe", pure=True).load(read_regular(self.dvc_file, LARGEST_DVC_FILE).decode("utf-8"))
            ours = written.get("meta", {"fsat": None})["fsat"]
            if ours is None:
                return None
            return {"md5": str(written["outs"][0]["md5"]), "model": str(ours["model"]), "snapshot": str(ours["snapshot"])}
        except FileNotFoundError:
            return None
        except (YAMLError, OSError, ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
            raise SnapshotError(
                str(self.dvc_file),
                "the file that `fsat snapshot` wrote",
                reason(error) if isinstance(error, OSError) else str(error).split("\n")[0],
                "Take it from Git again: git checkout.",
            ) from None

    def write_meta(self, model: str) -> None:
        """Complete the .dvc file that `dvc add` wrote. Only fsat writes the part under `meta`. DVC keeps it as it is."""
        ours = {"task": self.task, "version": self.number, "model": model, "snapshot": sha256_file(self.folder / SNAPSHOT)}
        written = read_regular(self.dvc_file, LARGEST_DVC_FILE).decode("utf-8").rstrip("\n").split("\n")
        lines = [*written, "meta:", "  fsat:", *(f"    {name}: {json.dumps(value)}" for name, value in ours.items())]
        replace_file(self.dvc_file, "\n".join(lines) + "\n")


def content(folder: Path) -> dict[str, dict[str, Any]]:
    """Return name -> sha256 and bytes, for everything in a snapshot's folder except folders and snapshot.json.

    What is no file, such as a pipe or a link to a folder, has no sha256, so it is none of the files that were published. A link
    to a file counts as this file, because DVC can be set up to put links to its cache there.
    """
    found = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix(): _facts(path) for path in found if path != folder / SNAPSHOT}


def _facts(path: Path) -> dict[str, Any]:
    try:
        return {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    except NO_FILE:
        return {"sha256": None, "bytes": 0}


def read_snapshot(folder: Path) -> dict[str, Any] | None:
    """Read snapshot.json, which has the registry's entry and the list of files. Returns None if it cannot be read."""
    try:
        snapshot = json.loads(read_regular(folder / SNAPSHOT))
        parse_entry(SNAPSHOT, json.dumps(snapshot["entry"]).encode(), "promote")
        return snapshot if isinstance(snapshot["files"], dict) else None
    except (*NO_FILE, RegistryError, ValueError, LookupError, TypeError, RecursionError):
        return None


def wrong_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Compare a folder with the list of files in its snapshot.json.

    Returns:
        name -> problem, for every file that is missing, altered or not listed.
    """
    found = content(folder)
    return {
        name: MISSING if name not in found else "one that is not listed" if name not in files else "another one"
        for name in sorted({*found, *files})
        if found.get(name) != files.get(name)
    }
