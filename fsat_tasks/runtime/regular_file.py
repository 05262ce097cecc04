"""Open files, and refuse what is none: a pipe or a device could keep the reader waiting for ever."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, BufferedWriter
from pathlib import Path

__all__ = ["NO_FILE", "NotAFileError", "TooLargeError", "append_regular", "check_regular", "open_regular", "read_regular"]


class NotAFileError(OSError):
    """A path leads to a pipe, a socket or a device, or to a link that leads to itself."""


class TooLargeError(OSError):
    """A file has more bytes than a file of its kind has."""


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
    _require_file(descriptor, path)
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path) -> Path:
    """Return the path of a file, for a library that opens files itself. Raises OSError as `open_regular` does."""
    open_regular(path).close()
    return path


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return a file's content. Raises OSError as `open_regular` does, and TooLargeError if there are more than `most` bytes."""
    with open_regular(path) as file:
        if most is None:
            return file.read()
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLargeError(errno.EFBIG, f"more than {most:,} bytes", str(path))
    return content


def append_regular(path: Path) -> BufferedWriter:
    """Open a file to append to it, and make it if it is not there. A link is not followed.

    Raises OSError as `open_regular` does, and NotAFileError for a link.
    """
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP):  # a socket, or a pipe that nobody reads; a link
            raise NotAFileError(error.errno, "a link or a pipe, not a file", str(path)) from None
        raise
    _require_file(descriptor, path)
    return os.fdopen(descriptor, "ab")


def _require_file(descriptor: int, path: Path) -> None:
    """Close a descriptor and raise OSError if it is not that of a file."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise NotAFileError(errno.EINVAL, "a pipe or a device, not a file", str(path))
