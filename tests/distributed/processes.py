"""Processes of a test, each in a session of its own: its children can be found, and are ended with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

PATIENCE = 600
"""Maximum number of seconds to wait for anything, on a machine that is busy with other work."""


class Processes:
    """Processes with one log each in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, env: Mapping[str, str] | None = None, user: str | None = None) -> None:
        """Start a process, as another user if wanted, and do not wait for it."""
        account = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd="/",
                env=env,
                **account,  # type: ignore[call-overload]
            )

    def run(self, name: str, *command: str, env: Mapping[str, str] | None = None, user: str | None = None) -> None:
        """Start a process and wait until it is done. Fails if it fails."""
        self.start(name, *command, env=env, user=user)
        code = self._running.pop(name).wait(PATIENCE)
        assert code == 0, f"{' '.join(command)}: exit code {code}\n{self.ends_of_logs()}"

    def kill(self, name: str) -> None:
        """SIGKILL a process and all that it started, as the end of its machine does."""
        process = self._running.pop(name)
        while pids := _session(process.pid):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        process.wait()

    def end(self) -> None:
        """Ask all processes to stop, and kill those that have not after some seconds."""
        for process in self._running.values():
            process.terminate()
        until = time.monotonic() + 5
        while time.monotonic() < until and any(process.poll() is None for process in self._running.values()):
            time.sleep(0.1)
        for name in list(self._running):
            self.kill(name)

    def wait(self, what: str, done: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until `done` says so. Fails with the ends of all logs if a process ends meanwhile, or the time is up."""
        until = time.monotonic() + seconds
        while not done():
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            reason = f"{', '.join(ended)} ended" if ended else f"not within {seconds:.0f} seconds"
            assert not ended and time.monotonic() < until, f"waiting for {what}: {reason}\n{self.ends_of_logs()}"
            time.sleep(0.2)

    def ends_of_logs(self) -> str:
        logs = sorted(self.folder.rglob("*.log"))
        return "\n".join(f"==> {log}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _session(leader: int) -> list[int]:
    """Return the processes of a session. Airflow gives each task a process group of its own, but no session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(int(path.name)) == leader and ") Z " not in (path / "stat").read_text():
                found.append(int(path.name))
    return found
