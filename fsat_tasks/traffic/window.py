"""Read the window of traffic that `fsat watch` tests: the newest rows of a file."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from fsat_tasks.data.readers import iter_rows
from fsat_tasks.errors import DataError
from fsat_tasks.tasks.files import TABLES
from fsat_tasks.tasks.task import Task

__all__ = ["read_window"]


def read_window(task: Task, file: Path) -> list[str]:
    """Return the texts of the file's last rows that have a text, at most `watch.window` of them.

    The file may be of any size, because only the window is in memory.

    Raises:
        DataError: if the file cannot be read, or has fewer than two rows with a text.
    """
    if file.suffix not in TABLES:
        raise DataError(str(file), f"a {', '.join(TABLES[:-1])} or {TABLES[-1]} file", repr(file.suffix))
    rows = iter_rows(file, [task.spec.text], task.spec.validation.max_characters)
    window = deque((text for _, (text,) in rows if text and text.strip()), maxlen=task.spec.watch.window)
    if len(window) < 2:
        raise DataError(str(file), "two rows with a text, or more", str(len(window)))
    return list(window)
