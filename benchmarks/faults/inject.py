"""Run the command fsat in this process, with a fault: python -m benchmarks.faults.inject FAULT VERB...

FAULT is a `Fault` as JSON. An audit hook sees each write of this process before it happens. A write is the opening of a file for
writing, the making of a folder, or a renaming. Libraries in C++ and Rust write without the hook's knowledge.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["CLOCK", "COUNT", "KILL", "Fault"]

COUNT, KILL, CLOCK = "count", "kill", "clock"


@dataclass(frozen=True)
class Fault:
    """A fault at a write of the process."""

    do: str
    """`kill` kills the process and its children. `clock` removes `file`, and so puts the clock right (`clock.c`). The name of an
    error, such as `ENOSPC`, raises it. `count` only counts."""
    below: str
    """Folder. Only writes below it count."""
    at: int = 0
    """Number of the write, from 1."""
    file: str = ""
    """The file of `clock`; for `count`, the file that gets the number of writes when the process ends."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def written(event: str, arguments: tuple[Any, ...]) -> str | None:
    """Return the path that an audit event is about to write, or None."""
    if event == "open":
        flags = arguments[2]
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) != 0
    else:
        writes = event in ("os.mkdir", "os.rename")
    if not writes or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return None
    return str(Path(os.fsdecode(arguments[0])).absolute())


def install(fault: Fault) -> None:
    """Make the fault happen in this process."""
    writes = 0

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal writes
        path = written(event, arguments)
        if path is None or not path.startswith(fault.below + os.sep):
            return
        writes += 1
        if writes != fault.at:
            return
        if fault.do == KILL:
            os.killpg(0, signal.SIGKILL)
        elif fault.do == CLOCK:
            Path(fault.file).unlink()
        elif fault.do != COUNT:
            number = getattr(errno, fault.do)
            raise OSError(number, os.strerror(number), path)

    sys.addaudithook(look)
    if fault.do == COUNT:
        atexit.register(lambda: Path(fault.file).write_text(str(writes), "utf-8"))


def main() -> None:
    install(Fault(**json.loads(sys.argv[1])))
    sys.argv = ["fsat", *sys.argv[2:]]
    from fsat_tasks.cli.app import main as fsat

    fsat()


if __name__ == "__main__":
    main()
