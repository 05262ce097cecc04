"""The processes of a private Airflow: web pages, scheduler, DAG processor, triggerer and a log server, all on 127.0.0.1.

Airflow's command `standalone` starts log servers that listen on all addresses, and no setting changes this. So this module starts
Airflow's parts itself, without these log servers, and one log server in their place.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fsat_tasks.errors import AirflowError
from fsat_tasks.integrations.airflow_server import airflow_command, environment, local_host

__all__ = ["serve", "wait_for_an_end"]

START_SECONDS = 600
"""Maximum time to wait for Airflow to start. It takes twenty seconds on an idle machine and longer on a busy one."""
STOP_SECONDS = 20
"""Time that Airflow's processes get to end after a signal. Those that still run after this time get a stronger signal."""
PARTS = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"], "dag-processor": [], "api-server": []}
"""Part of Airflow, which is a subcommand of `airflow` -> its arguments."""
LOG_SERVER = ["-m", "uvicorn", "--factory", "airflow.utils.serve_logs.log_server:get_app", "--no-access-log"]
"""Arguments of `python` for the log server, without its address."""

Processes = Mapping[str, subprocess.Popen[bytes]]
"""Name of a part of Airflow -> its process."""


@contextmanager
def serve(home: Path, port: int) -> Iterator[Processes]:
    """Context manager: run Airflow's parts. All are healthy when the block begins, and stop after it.

    Args:
        home: Airflow's home folder.
        port: port of the UI and API. The next port serves logs of running tasks.

    Raises:
        AirflowError: one of the ports is in use, or Airflow does not start.
    """
    for needed in (port, port + 1):
        if _listens(needed):
            raise AirflowError(f"port {needed}", "a free port", "one in use", f"Try another one: --port {port + 10}.")
    settings, log = environment(home, port), home / "up.log"
    airflow = airflow_command(settings)
    commands = {part: [airflow, part, *arguments] for part, arguments in PARTS.items()}
    commands["log server"] = [sys.executable, *LOG_SERVER, "--host", local_host(), "--port", str(port + 1)]
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        with log.open("wb") as output:
            for part, command in commands.items():
                # each part gets a session, so that Ctrl-C reaches only this process, and `_left` finds what a part has started
                running[part] = subprocess.Popen(  # noqa: S603 (no shell)
                    command, env=settings, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
        _wait_until_well(running, port, log)
        yield running
    finally:
        _stop(running)


def wait_for_an_end(running: Processes) -> None:
    """Wait until one of Airflow's parts ends. None of them ends by itself, unless it fails."""
    while not _ended(running):
        time.sleep(0.5)


def _wait_until_well(running: Processes, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for part in _ended(running):
            raise AirflowError(f"Airflow's {part}", "to start", f"exit code {running[part].returncode}", f"See {log}.")
        if _is_well(port) and _listens(port + 1):
            return
        time.sleep(0.5)
    raise AirflowError("Airflow", "to start", f"no answer within {START_SECONDS} seconds", f"See {log}.")


def _is_well(port: int) -> bool:
    with suppress(OSError, ValueError), urllib.request.urlopen(f"http://{local_host()}:{port}/api/v2/monitor/health") as answer:
        parts = json.load(answer)
        return all(parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor", "triggerer"))
    return False


def _ended(running: Processes) -> list[str]:
    return [part for part, process in running.items() if process.poll() is not None]


def _stop(running: Processes) -> None:
    """End Airflow's parts, and then the processes that they have left behind."""
    for process in running.values():
        process.terminate()
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        while left := _left(running):
            if time.monotonic() > deadline:
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                break
            time.sleep(0.1)
    for process in running.values():
        process.wait()


def _left(running: Processes) -> list[int]:
    """Return the ids of the living processes in the sessions of Airflow's parts."""
    import psutil

    _ended(running)  # so that those which have ended are gone from the list of processes
    leaders = {process.pid for process in running.values()}
    found = []
    for one in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError, PermissionError):
            if one.info["status"] != psutil.STATUS_ZOMBIE and os.getsid(one.pid) in leaders:
                found.append(one.pid)
    return found


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((local_host(), port)) == 0
