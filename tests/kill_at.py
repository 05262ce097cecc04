"""Kill of a process at a known place, without changes to its code. Processes that tests start in this folder import it."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def is_write(event: str, arguments: tuple[object, ...]) -> bool:
    """True if an audit event says that a file is opened for writing."""
    flags = arguments[2] if event == "open" else 0
    return isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) != 0


def kill_at(pattern: str, room: int | None = None) -> None:
    """Kill this process when it opens a file for writing, or starts a process, whose name or command has the pattern.

    Args:
        room: number of bytes that it still writes to that file. Then the system kills it by SIGXFSZ, with the rest unwritten.
    """

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if not (is_write(event, arguments) or event == "subprocess.Popen") or not re.search(pattern, str(arguments[:2])):
            return
        if room is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            path = Path(str(arguments[0]))
            limit = (path.stat().st_size if path.exists() else 0) + room
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    sys.addaudithook(look)
