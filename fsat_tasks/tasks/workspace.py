"""Places of the task folders and the store, and a check that a user's path stays inside a folder.

This module imports only the standard library, because DAG files import it while Airflow parses them.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from fsat_tasks.errors import TaskError

__all__ = ["TASK_FILE", "Workspace", "check_task_name", "confine"]

TASK_FILE = "task.yaml"
_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Workspace:
    """The two folders that fsat reads and writes."""

    data: Path
    """Data root: a folder with one folder per task. `FSAT_DATA`, by default `./data`."""
    store: Path
    """Folder of the artefacts and the registry. `FSAT_STORE`, by default `./.fsat`."""

    @classmethod
    def from_env(cls) -> Workspace:
        """Return the folders that FSAT_DATA and FSAT_STORE name."""
        return cls(
            data=Path(os.environ.get("FSAT_DATA", "data")).absolute(),
            store=Path(os.environ.get("FSAT_STORE", ".fsat")).absolute(),
        )

    def task_folder(self, name: str) -> Path:
        """Return the folder of an existing task. Raises TaskError if there is none with this name."""
        folder = self.data / check_task_name(name)
        if not (folder / TASK_FILE).is_file():
            known = ", ".join(self.task_names()) or "none"
            raise TaskError(
                f"task {name!r}",
                f"a folder with a {TASK_FILE} under {self.data}",
                "none of that name",
                f"Tasks there: {known}. Make one with: fsat init {name} --samples FILE.",
            )
        return folder

    def task_names(self) -> list[str]:
        """Return the names of all tasks, sorted."""
        names = (path.parent.name for path in self.data.glob(f"*/{TASK_FILE}"))
        return sorted(name for name in names if _TASK_NAME.fullmatch(name))


def check_task_name(name: str) -> str:
    """Return the name. Raises TaskError if it is not safe as a folder's name."""
    if not _TASK_NAME.fullmatch(name):
        raise TaskError(
            f"task name {name!r}",
            "1 to 64 letters, digits, '-' or '_', starting with a letter or digit",
            "something else",
            "Give the name of a task, not a path; FSAT_DATA says where task folders are.",
        )
    return name


def confine(root: Path, relative: str, where: str, base: Path | None = None) -> Path:
    """Return the absolute path of a user's file, and make sure that it lies inside `root`.

    Args:
        root: folder that the path must not leave, by '..' or by a symbolic link.
        relative: the path as the user gave it.
        where: where the user wrote the path, such as 'task.yaml: unlabelled'. The error names it.
        base: folder that `relative` starts from; by default `root`.

    Raises:
        TaskError: if the path leads out of `root`.
    """
    if "\0" not in relative:
        with contextlib.suppress(RuntimeError):  # a symbolic link to itself
            path = ((base or root) / relative).resolve()
            if path.is_relative_to(root.resolve()):
                return path
    raise TaskError(where, f"a file inside {root}", repr(relative), f"Copy the file into {base or root}.")
