"""Open files for reading, and refuse what is none: a pipe or a device could keep the reader waiting for ever."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

__all__ = ["NO_FILE", "NotAFileError", "open_regular", "read_regular"]


class NotAFileError(OSError):
    """A path leads to a pipe, a socket or a device, or to a link that leads to itself."""


NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotAFileError)
"""Errors that say that there is no file under a name. Other errors of the operating system say that it cannot be read."""


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading. Raises OSError if it cannot be opened, and one of NO_FILE if it is no file."""
    try:
        # O_NONBLOCK, so that a pipe without a writer opens at once; it has no effect on a file
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):  # a socket; a link that leads to itself
            raise NotAFileError(error.errno, "not a file", str(path)) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise NotAFileError(errno.EINVAL, "a pipe or a device, not a file", str(path))


def read_regular(path: Path) -> bytes:
    """Return a file's content. Raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()
