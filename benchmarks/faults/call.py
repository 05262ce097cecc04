"""Call fsat in a process of its own, kill it, and read what it said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from benchmarks.faults.inject import Fault

__all__ = ["HELD", "Answer", "Call", "kill_within"]

ROOT = Path(__file__).parents[2]
LIMIT = 600.0
"""Seconds after which a call that has not ended counts as hanging, and is killed."""
HELD = 3
"""Exit code of a run whose model was held."""
OWN = ("FSAT_", "AIRFLOW_", "DVC_")
"""Beginnings of the names of environment variables that a call does not inherit."""


@dataclass(frozen=True)
class Answer:
    """The exit code of a call, and what it printed."""

    code: int
    output: str
    error: str

    @property
    def ended_well(self) -> bool:
        return self.code in (0, HELD)

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.error + self.output

    @property
    def sentence(self) -> str:
        """The error in one line, without the parts that differ from call to call; empty if there is none."""
        lines = [line for line in self.error.splitlines() if line.startswith("fsat: ")]
        line = re.sub(r"(/[\w.-]+)*/round-\d+/", "", lines[-1].removeprefix("fsat: ")) if lines else ""
        return re.sub(r"\b[0-9a-f]{8,64}\b(\.[\w-]+\.\d+)?", "…", line)

    @property
    def clear(self) -> bool:
        """True if the call ended well, or said in one line why not."""
        lines = [line for line in self.error.splitlines() if line.startswith("fsat: ")]
        return not self.traceback and (self.ended_well or len(lines) == 1)


class Call:
    """A call of fsat that goes on."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        variables: Mapping[str, str],
        fault: Fault | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Start fsat.

        Args:
            arguments: the verb and its arguments.
            folder: the folder in which the call works.
            variables: environment variables.
            fault: fault in the process.
            before: command that gets the call as its last arguments, and runs it.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "400", **variables}
        module = ["fsat_tasks.cli"] if fault is None else ["benchmarks.faults.inject", fault.to_json()]
        self._files: list[IO[bytes]] = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]  # noqa: SIM115 - `end` closes them
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", *module, *arguments],
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[1],
        )
        self.started = time.perf_counter()

    def end(self, seconds: float = LIMIT) -> Answer:
        """Wait until the call ends, or kill it after some seconds."""
        kill_within(self.process, seconds)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
            file.close()
        return Answer(self.process.returncode, *texts)


def kill_within(process: subprocess.Popen[bytes], seconds: float, alone: bool = False) -> str:
    """Kill a process after some seconds, and wait until all its processes are gone. Return what happened, in words.

    Args:
        process: leader of a session of its own.
        alone: kill one child alone, if there is one.
    """
    try:
        process.wait(timeout=seconds)
        return f"ended with {process.returncode}"
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
    if alone and children:
        children[0].kill()
        process.wait(timeout=300)
        return f"a child was killed, ended with {process.returncode}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children)
    return "killed"
