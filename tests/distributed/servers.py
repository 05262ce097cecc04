"""PostgreSQL and Redis as distributions package them, on loopback, with a password."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from processes import Processes, listens


def missing() -> str | None:
    """Return a message about the programs that this machine lacks, or None."""
    lacks = [name for name, found in (("PostgreSQL", _postgres()), ("Redis", shutil.which("redis-server"))) if not found]
    return f"not installed: {', '.join(lacks)}. Run tests/distributed/install.sh as root." if lacks else None


def start_postgres(processes: Processes, folder: Path, port: int, password: str) -> str:
    """Make a database in an empty folder, start it, and return its address once it answers."""
    import psycopg2

    user = "postgres" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    secret, data, programs = folder / "password", folder / "data", _postgres()
    secret.write_text(password)
    if user:
        for path in (folder, secret):
            shutil.chown(path, user, user)
    processes.run(
        "initdb",
        f"{programs}/initdb",
        f"--pgdata={data}",
        "--username=airflow",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        user=user,
    )
    processes.start(
        "postgres",
        f"{programs}/postgres",
        f"-D{data}",
        f"--port={port}",
        "--listen_addresses=127.0.0.1",
        "--unix_socket_directories=",
        "--fsync=off",
        "--max_connections=200",
        user=user,
    )

    def answers() -> bool:
        try:
            psycopg2.connect(host="127.0.0.1", port=port, user="airflow", password=password, dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    processes.wait("PostgreSQL", answers)
    return f"postgresql+psycopg2://airflow:{password}@127.0.0.1:{port}/postgres"


def start_redis(processes: Processes, port: int, password: str) -> str:
    """Start Redis, and return its address once it listens."""
    settings = {"port": port, "bind": "127.0.0.1", "requirepass": password, "save": '""', "dir": processes.folder}
    file = processes.folder / "redis.conf"
    file.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    processes.start("redis", "redis-server", str(file))
    processes.wait("Redis", lambda: listens(port))
    return f"redis://:{password}@127.0.0.1:{port}/0"


def _postgres() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None
