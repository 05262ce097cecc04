"""Places of the task folders and the store, and a check that a user's path stays inside a folder.

This module imports little, because DAG files import it while Airflow parses them.
"""

from __future__ import annotations

import contextlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from fsat_tasks.errors import TaskError, did_you_mean
from fsat_tasks.runtime.environment import path_variable

__all__ = ["TASK_FILE", "Workspace", "check_task_name", "confine", "no_file", "require_file"]

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
        """Return the folders that FSAT_DATA and FSAT_STORE name. Raises InputError if one of the variables is empty."""
        return cls(
            data=(path_variable("FSAT_DATA") or Path("data")).absolute(),
            store=(path_variable("FSAT_STORE") or Path(".fsat")).absolute(),
        )

    def task_folder(self, name: str) -> Path:
        """Return the folder of an existing task. Raises TaskError if there is none with this name."""
        folder = self.data / check_task_name(name)
        if not _has_task_file(folder):
            names = self.task_names()
            known = f"Tasks there: {', '.join(names) or 'none'}."
            hint = did_you_mean(name, names)
            fix = f"{hint}{known}" if hint else f"{known} Make one with: fsat init {name} --samples FILE."
            raise TaskError(f"task {name!r}", f"a folder with a {TASK_FILE} under {self.data}", "none of that name", fix)
        return folder

    def task_names(self) -> list[str]:
        """Return the names of all tasks, sorted. A task whose task.yaml cannot be read is one of them.

        Raises:
            TaskError: if the data root is no folder that can be read.
        """
        try:
            names = [path.name for path in self.data.iterdir()]
        except OSError as error:
            got = "nothing there" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
            fix = "Set FSAT_DATA to the folder of the tasks, or make a task with: fsat init NAME --samples FILE."
            raise TaskError(f"data root {self.data}", "a folder with a folder for each task", got, fix) from None
        return sorted(name for name in names if _TASK_NAME.fullmatch(name) and _has_task_file(self.data / name))


def _has_task_file(folder: Path) -> bool:
    """Return whether a folder has a task.yaml, whatever that is. A folder that may not be entered counts as one that has."""
    try:
        (folder / TASK_FILE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


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
    with contextlib.suppress(RuntimeError, ValueError):  # a link to itself; a NUL character or half of a surrogate pair
        path = ((base or root) / relative).resolve()
        if path.is_relative_to(root.resolve()):
            return path
    raise TaskError(where, f"a file inside {root}", repr(relative), f"Copy the file into {base or root}.")


def no_file(path: Path) -> str | None:
    """Say why there is no file at a path, such as "is a folder", or return None if there is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except (OSError, ValueError) as error:
        return f"cannot be reached: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISREG(mode):
        return None
    return "is a folder" if stat.S_ISDIR(mode) else "is a pipe, a socket or a device"


def require_file(path: Path, where: str) -> Path:
    """Return the path. Raises TaskError, which names `where`, if there is no file at it."""
    if (problem := no_file(path)) is not None:
        raise TaskError(where, "a file", f"{str(path)!r}, which {problem}")
    return path
