"""A private Airflow on this machine. This module makes its settings, its database and its login.

This module runs Airflow as a command and never imports it. `airflow_processes` runs its servers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

from fsat_tasks.errors import AirflowError
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["POOLS", "airflow_command", "become", "environment", "local_host", "login", "prepare"]

POOLS = {
    "gpu": "Steps that may use the GPU: as many at once as there are GPUs",
    "dvc": "The repository's snapshots: one at a time",
}
"""Airflow pool -> its description in Airflow. FSAT_GPU_POOL and FSAT_DVC_POOL can rename these pools. If a variable is
empty, its pool is not used."""
USER = "admin"
PASSWORDS = "simple_auth_manager_passwords.json.generated"
READY = "ready.json"


def environment(home: Path, port: int = 8080) -> dict[str, str]:
    """Return the environment of all Airflow processes. They use SQLite. All servers are on 127.0.0.1. DAGs come from ./dags.

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
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__PARALLELISM": "4",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": address,
        # the api-server asks one log server, on this host, for the logs of all tasks that run
        "CORE__HOSTNAME_CALLABLE": f"{__name__}.local_host",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(port + 1),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(port + 1),
    }
    own = {"AIRFLOW_HOME": str(home), "FSAT_DATA": str(workspace.data), "FSAT_STORE": str(workspace.store)}
    own |= {_variable(pool): os.environ.get(_variable(pool), pool) for pool in POOLS}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **own, "PATH": path, **{f"AIRFLOW__{name}": value for name, value in settings.items()}}


def local_host() -> str:
    """Return the name of this host for Airflow's processes, which talk to each other on this machine alone."""
    return "127.0.0.1"


def prepare(home: Path, gpus: int | None = None) -> bool:
    """Make the database, the pools and the login if any of them is missing. Return whether anything was done.

    Args:
        home: Airflow's home folder.
        gpus: number of slots of the pool for GPU steps. By default, an existing pool keeps its slots, and a new pool has 1.

    Raises:
        AirflowError: Airflow is not installed, or one of its commands fails.
    """
    settings = environment(home)
    command = airflow_command(settings)
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


def become(home: Path, arguments: Sequence[str]) -> NoReturn:
    """Turn this process into `airflow` with these arguments. So signals and the exit code are Airflow's own."""
    settings = environment(home)
    command = airflow_command(settings)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command, [command, *arguments], settings)  # noqa: S606 (no shell)


def _variable(pool: str) -> str:
    """Return the name of the environment variable that names a pool. The DAG files read the same variable."""
    return f"FSAT_{pool.upper()}_POOL"


def airflow_command(settings: dict[str, str]) -> str:
    """Return the path of the command `airflow`. Raises AirflowError if Airflow is not installed."""
    found = shutil.which("airflow", path=settings["PATH"])
    with suppress(PackageNotFoundError):
        version("apache-airflow")
        if found is not None:
            return found
    raise AirflowError("the command airflow", "one in fsat's environment", "none", "Install it: pip install 'fsat[airflow]'.")


def _read_ready(home: Path) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads((home / READY).read_text("utf-8"))
        return found
    except (FileNotFoundError, ValueError):
        return {}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")
