"""Read the window of traffic that `fsat watch` tests: the newest rows of a file."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from fsat_tasks.data.readers import iter_inputs
from fsat_tasks.errors import DataError
from fsat_tasks.inputs.formats import TABLES, file_format, one_of
from fsat_tasks.inputs.modality import Input
from fsat_tasks.tasks.task import Task

__all__ = ["read_window"]


def read_window(task: Task, file: Path) -> list[Input]:
    """Return the file's last rows that are not blank, at most `watch.window` of them.

    The file may be of any size, because only the window is in memory.

    Raises:
        DataError: if the file cannot be read, or has fewer than two rows that are not blank.
    """
    if file_format(file) not in TABLES:
        raise DataError(str(file), one_of(TABLES), repr(file.suffix))
    rows = iter_inputs(file, task.row_format())
    window = deque((row for _, row in rows if row is not None), maxlen=task.spec.watch.window)
    if len(window) < 2:
        raise DataError(str(file), f"two rows with a {task.modality.noun}, or more", str(len(window)))
    return list(window)
