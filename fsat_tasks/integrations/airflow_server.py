"""A private Airflow on this machine. This module makes its settings, its database and its login, and runs its servers.

This module runs Airflow as a command and never imports it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fsat_tasks.errors import AirflowError
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["POOLS", "call", "environment", "login", "prepare", "serve"]

POOLS = {
    "gpu": "Steps that may use the GPU: as many at once as there are GPUs",
    "dvc": "The repository's snapshots: one at a time",
}
"""Airflow pool -> its description in Airflow. FSAT_GPU_POOL and FSAT_DVC_POOL can rename these pools. If a variable is
empty, its pool is not used."""
USER = "admin"
PASSWORDS = "simple_auth_manager_passwords.json.generated"
READY = "ready.json"
START_SECONDS = 600
"""Maximum time to wait for Airflow to start. It takes twenty seconds on an idle machine and longer on a busy one."""
STOP_SECONDS = 20
"""Time that Airflow's processes get to end after a signal. Those that still run after this time get a stronger signal."""


def environment(home: Path, port: int = 8080) -> dict[str, str]:
    """Return the environment of all Airflow processes. They use SQLite. The API listens on 127.0.0.1. DAGs come from ./dags.

    Raises:
        AirflowError: the DAGs folder has no fsat_tune.py.
    """
    workspace = Workspace.from_env()
    dags = Path(os.environ.get("AIRFLOW__CORE__DAGS_FOLDER", "dags")).absolute()
    if not (dags / "fsat_tune.py").is_file():
        raise AirflowError(
            "the DAGs' folder",
            f"{dags} with fsat_tune.py",
            "none there",
            "Call fsat in the repository, or set AIRFLOW__CORE__DAGS_FOLDER.",
        )
    address = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__PLUGINS_FOLDER": str(dags / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": address,
        # the servers on these two ports listen on all addresses, but answer only signed requests
        "LOGGING__WORKER_LOG_SERVER_PORT": str(port + 1),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(port + 2),
    }
    own = {"AIRFLOW_HOME": str(home), "FSAT_DATA": str(workspace.data), "FSAT_STORE": str(workspace.store)}
    own |= {_variable(pool): os.environ.get(_variable(pool), pool) for pool in POOLS}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **own, "PATH": path, **{f"AIRFLOW__{name}": value for name, value in settings.items()}}


def prepare(home: Path, gpus: int | None = None) -> bool:
    """Make the database, the pools and the login if any of them is missing. Return whether anything was done.

    Args:
        home: Airflow's home folder.
        gpus: number of slots of the pool for GPU steps. By default, an existing pool keeps its slots, and a new pool has 1.

    Raises:
        AirflowError: Airflow is not installed, or one of its commands fails.
    """
    settings = environment(home)
    command = _command(settings)
    pools = {pool: name for pool in POOLS if (name := settings[_variable(pool)])}
    wanted = {"airflow": version("apache-airflow"), "pools": pools, "gpus": gpus or _read_ready(home).get("gpus", 1)}
    if _read_ready(home) == wanted and (home / "airflow.db").is_file():
        return False
    home.mkdir(mode=0o700, parents=True, exist_ok=True)  # not readable for others, because it contains the password
    with (home / "setup.log").open("wb") as log:
        steps = [
            ["db", "migrate"],
            *(["pools", "set", name, str(wanted["gpus"] if pool == "gpu" else 1), POOLS[pool]] for pool, name in pools.items()),
        ]
        for step in steps:
            done = subprocess.run([command, *step], env=settings, stdout=log, stderr=log, check=False)  # noqa: S603 (no shell)
            if done.returncode:
                raise AirflowError(
                    f"airflow {' '.join(step[:2])}",
                    "success",
                    f"exit code {done.returncode}",
                    f"See {home / 'setup.log'}.",
                )
    if login(home) is None:
        _write_private(home / PASSWORDS, json.dumps({USER: secrets.token_urlsafe(12)}))
    _write_private(home / READY, json.dumps(wanted))
    return True


def login(home: Path) -> tuple[str, str] | None:
    """Return name and password of the only user, or None if `prepare` has not made the login yet."""
    try:
        passwords = json.loads((home / PASSWORDS).read_text("utf-8"))
        return USER, str(passwords[USER])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None


def call(home: Path, arguments: Sequence[str]) -> int:
    """Run `airflow` with these arguments and return its exit code."""
    settings = environment(home)
    return subprocess.run([_command(settings), *arguments], env=settings, check=False).returncode  # noqa: S603 (no shell)


@contextmanager
def serve(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Context manager: run Airflow's servers, scheduler and workers. All are healthy when the block begins, and stop after it.

    Args:
        home: Airflow's home folder.
        port: port of the UI and API. The next two ports serve logs.

    Raises:
        AirflowError: one of the ports is in use, or Airflow does not start.
    """
    for needed in (port, port + 1, port + 2):
        if _listens(needed):
            raise AirflowError(f"port {needed}", "a free port", "one in use", f"Try another one: --port {port + 10}.")
    settings, log = environment(home, port), home / "up.log"
    with log.open("wb") as output:
        # Airflow gets its own session, so that Ctrl-C reaches only this process, and `_session` finds all of Airflow's processes
        airflow = subprocess.Popen(  # noqa: S603 (no shell)
            [_command(settings), "standalone"],
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_heed_interrupts,
        )
    try:
        _wait_until_well(airflow, port, log)
        yield airflow
    finally:
        _stop(airflow)


def _variable(pool: str) -> str:
    """Return the name of the environment variable that names a pool. The DAG files read the same variable."""
    return f"FSAT_{pool.upper()}_POOL"


def _heed_interrupts() -> None:
    # a background job of a shell ignores SIGINT; without this call, Airflow would inherit this setting and could not be stopped
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_until_well(airflow: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while airflow.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, ValueError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health") as answer:
            parts = json.load(answer)
            if all(parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")):
                return
        time.sleep(0.5)
    got = f"exit code {airflow.returncode}" if airflow.returncode is not None else f"no answer within {START_SECONDS} seconds"
    raise AirflowError("airflow standalone", "to start", got, f"See {log}.")


def _stop(airflow: subprocess.Popen[bytes]) -> None:
    """Interrupt Airflow, then kill the processes of its session that are left.

    SIGINT comes first, because Airflow stops its parts on SIGINT but leaves them running on SIGTERM.
    """
    airflow.send_signal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        while left := _session(airflow):
            if time.monotonic() > deadline:
                for process in left:
                    with suppress(ProcessLookupError):
                        os.kill(process, number)
                break
            time.sleep(0.1)
    airflow.wait()


def _session(leader: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of the living processes in the leader's session."""
    import psutil

    leader.poll()
    found = []
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError, PermissionError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getsid(process.pid) == leader.pid:
                found.append(process.pid)
    return found


def _command(settings: dict[str, str]) -> str:
    found = shutil.which("airflow", path=settings["PATH"])
    with suppress(PackageNotFoundError):
        version("apache-airflow")
        if found is not None:
            return found
    raise AirflowError("the command airflow", "one in fsat's environment", "none", "Install it: pip install 'fsat[airflow]'.")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _read_ready(home: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads((home / READY).read_text("utf-8"))
        return found
    except (FileNotFoundError, ValueError):
        return {}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")
