"""A whole Airflow on this machine: PostgreSQL, Redis, each component with CeleryExecutor, and a worker for each queue."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from processes import PATIENCE, Processes, free_ports
from servers import start_postgres, start_redis

ROOT = Path(__file__).parents[2]
POOLS = {"gpu": 2, "dvc": 1}
"""Pool -> number of slots. FSAT_GPU_POOL and FSAT_DVC_POOL name the pools."""
COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server")
NOT_FOR_WORKERS = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__FERNET_KEY")
"""Variables that workers do not get, as in docker/compose.yaml: they reach the database only for Celery's results."""


@contextmanager
def cluster(folder: Path, **environment: str) -> Iterator[Cluster]:
    """Run a cluster; `environment` is set in all of its processes. None of them is left afterwards."""
    (folder / "airflow").mkdir()
    processes = Processes(folder / "airflow")
    # pytest's folders are closed to the database's own user
    with tempfile.TemporaryDirectory(prefix="fsat-postgres-") as database:
        try:
            yield Cluster(processes, Path(database), environment)
        finally:
            processes.end()


class Cluster:
    """A running cluster from `cluster`, with every component healthy."""

    def __init__(self, processes: Processes, database: Path, environment: Mapping[str, str]) -> None:
        self._processes = processes
        postgres, redis, api, trigger_log = free_ports(4)
        self._url, password = f"http://127.0.0.1:{api}", secrets.token_hex(16)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FSAT_", "DVC_"))},
            **environment,
            **{f"FSAT_{pool.upper()}_POOL": pool for pool in POOLS},
            **settings(api, start_postgres(processes, database, postgres, password), start_redis(processes, redis, password)),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log),
            "AIRFLOW_HOME": str(processes.folder),
            "PYTHONPATH": str(ROOT),
        }
        processes.run("migrate", *AIRFLOW, "db", "migrate", env=self._environment)
        for pool, slots in POOLS.items():
            processes.run("pools", *AIRFLOW, "pools", "set", pool, str(slots), "-", env=self._environment)
        for component in COMPONENTS:
            processes.start(component, *AIRFLOW, component, env=self._environment)
        for queue in ("default", "gpu"):
            self.start_worker(queue, queue)
        processes.wait("the components", self._healthy)
        token = httpx.get(f"{self._url}/auth/token").raise_for_status().json()["access_token"]
        self._api = httpx.Client(base_url=f"{self._url}/api/v2", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def start_worker(self, name: str, queue: str) -> None:
        environment = {key: value for key, value in self._environment.items() if key not in NOT_FOR_WORKERS}
        environment["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] = str(free_ports(1)[0])
        self._processes.start(
            name,
            *AIRFLOW,
            "celery",
            "worker",
            "--queues",
            queue,
            "--concurrency",
            "2",
            "--celery-hostname",
            f"{name}@localhost",
            env=environment,
        )

    def kill(self, name: str) -> None:
        """SIGKILL a worker and its tasks, as the end of its machine does."""
        self._processes.kill(name)

    def get(self, path: str, **parameters: Any) -> Any:
        """Ask the REST API."""
        return self._api.get(path, params=parameters).raise_for_status().json()

    def trigger(self, dag: str, run: str, conf: Mapping[str, Any]) -> None:
        self.wait(f"the DAG {dag}", lambda: self._api.get(f"/dags/{dag}").status_code == 200)
        body = {"dag_run_id": run, "logical_date": None, "conf": conf}
        self._api.post(f"/dags/{dag}/dagRuns", json=body).raise_for_status()

    def runs(self, dag: str) -> dict[str, str]:
        """Return the state of each run."""
        return {run["dag_run_id"]: run["state"] for run in self.get(f"/dags/{dag}/dagRuns")["dag_runs"]}

    def task_instances(self, dag: str) -> list[dict[str, Any]]:
        """Return the task instances of all runs."""
        found: list[dict[str, Any]] = self.get(f"/dags/{dag}/dagRuns/~/taskInstances", limit=1000)["task_instances"]
        return found

    def wait(self, what: str, done: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until `done` says so. Fails with the ends of all logs if that takes too long or a process ends meanwhile."""
        self._processes.wait(what, done, seconds)

    def ends_of_logs(self) -> str:
        return self._processes.ends_of_logs()

    def _healthy(self) -> bool:
        try:
            parts = httpx.get(f"{self._url}/api/v2/monitor/health", timeout=20).raise_for_status().json()
        except httpx.HTTPError:
            return False
        return all(part["status"] == "healthy" for part in parts.values())


AIRFLOW = (sys.executable, "-m", "airflow")


def settings(port: int, database: str, broker: str) -> dict[str, str]:
    """Return Airflow's settings, as environment variables."""
    url = f"http://127.0.0.1:{port}"
    values = {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "CELERY__RESULT_BACKEND": f"db+{database}",
        "CELERY__BROKER_URL": broker,
        # seconds, which are 1 and 5: too few where the machine is busy
        "CELERY__OPERATION_TIMEOUT": "60",
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        # a worker that is gone is missed within seconds, not five minutes; its tasks say every 5 seconds that they live
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }
    return {f"AIRFLOW__{name}": value for name, value in values.items()}
