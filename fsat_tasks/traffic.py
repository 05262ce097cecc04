"""A task's traffic: which file is the newest, and its newest rows."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.samples import iter_rows
from fsat_tasks.spec import Task
from fsat_tasks.workspace import TASK_FILE, confine

__all__ = ["newest_file", "read_window"]

SUFFIXES = (".csv", ".jsonl", ".parquet")


def newest_file(task: Task, traffic: str | None = None) -> Path:
    """The file that was changed last, of those that `watch.traffic` names: a file, a folder or a glob.

    Args:
        traffic: in place of task.yaml's; relative to the task's folder, and like it inside the data root.

    Raises:
        TaskError: where there is none, or it leads out of the data root.
    """
    where = "traffic" if traffic else f"{task.folder / TASK_FILE}: watch.traffic"
    name = traffic or task.spec.watch.traffic
    if name is None:
        raise TaskError(where, "a file of texts as they come in", "nothing", "Name one there, or give the file to fsat watch.")
    named, root = Path(name), task.folder.parent
    try:
        if any(letter in named.name for letter in "*?["):
            found = list(confine(root, str(named.parent), where, task.folder).glob(named.name))
        else:
            path = confine(root, name, where, task.folder)
            found = list(path.iterdir()) if path.is_dir() else [path]
        files = [confine(root, str(file), where) for file in found if file.suffix in SUFFIXES and file.is_file()]
    except (OSError, ValueError) as error:  # a name that is too long, a pattern such as `**x`
        raise TaskError(where, "a file, a folder or a pattern", f"{name!r}: {error}") from None
    if not files:
        raise TaskError(where, f"a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file", f"{name!r}, where there is none")
    return max(files, key=lambda file: (file.stat().st_mtime_ns, file.name))


def read_window(task: Task, file: Path) -> list[str]:
    """The file's last rows with a text, at most `watch.window` of them; the file may be of any size.

    Raises:
        DataError: where the file cannot be read, or has fewer than two such rows.
    """
    if file.suffix not in SUFFIXES:
        raise DataError(str(file), f"a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file", repr(file.suffix))
    rows = iter_rows(file, [task.spec.text], task.spec.validation.max_characters)
    window = deque((text for _, (text,) in rows if text and text.strip()), maxlen=task.spec.watch.window)
    if len(window) < 2:
        raise DataError(str(file), "two rows with a text, or more", str(len(window)))
    return list(window)
