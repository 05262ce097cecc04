"""Environment variables that name a file or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from fsat_tasks.errors import InputError

__all__ = ["path_variable"]


def path_variable(name: str) -> Path | None:
    """Return the path that a variable names, or None if the variable is not set.

    Raises:
        InputError: if the variable is set but empty, because an empty path would mean the current folder.
    """
    value = os.environ.get(name)
    if value == "":
        raise InputError(name, "the path of a file or folder", "an empty value", f"Give {name} a path, or unset it.")
    return None if value is None else Path(value)
