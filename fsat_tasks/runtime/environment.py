"""Environment variables that name a file or a folder."""

from __future__ import annotations

import os
from pathlib import Path

from fsat_tasks.errors import InputError

__all__ = ["is_folder", "path_variable"]

LONGEST_NAME, LONGEST_PATH = 255, 3_000
"""Maximum length in bytes of a file's name on common systems, and of a path to which names of files can still be added."""


def path_variable(name: str) -> Path | None:
    """Return the path that a variable names, or None if the variable is not set.

    Raises:
        InputError: if the variable is set but empty, because an empty path would mean the current folder; or if no system has
            so long a path.
    """
    value = os.environ.get(name)
    if value is None:
        return None
    if value == "":
        raise InputError(name, "the path of a file or folder", "an empty value", f"Give {name} a path, or unset it.")
    whole = os.fsencode(value)
    if len(whole) > LONGEST_PATH or max(map(len, whole.split(b"/"))) > LONGEST_NAME:
        expected = f"a path of at most {LONGEST_PATH:,} bytes, and {LONGEST_NAME} in each of its names"
        raise InputError(name, expected, f"{len(whole):,} bytes", f"Give {name} a shorter path.")
    return Path(value)


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder. It is False, and no error, for a path that may not be looked up or is too long."""
    try:
        return path.is_dir()
    except OSError:
        return False
