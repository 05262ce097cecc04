"""Checks of fsat's folders and of Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from fsat_tasks.diagnosis.check import Check
from fsat_tasks.diagnosis.machine import installed
from fsat_tasks.errors import TaskError, reason
from fsat_tasks.integrations.airflow_server import POOLS, airflow_command, environment
from fsat_tasks.registry.signature import signing_key
from fsat_tasks.tasks.task import load_task
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["check_airflow", "check_signing", "check_store", "check_tasks", "check_tools"]

LEAST_FREE = 2e9
"""Bytes of free disk below which the store may not take another model. A run with a tuned encoder writes up to 0.4 GB."""
PATIENCE = 60
"""Seconds that a command of Airflow may take."""
TOOLS = {"dvc": "dvc", "mlflow-skinny": "mlflow", "onnxruntime-extensions": "strings"}
"""Optional package -> fsat's extra that installs it."""


def check_tasks() -> Check:
    """Return the data root, the number of its tasks, and the tasks that cannot be read."""
    workspace = Workspace.from_env()
    names, bad = workspace.task_names(), []
    for name in names:
        try:
            load_task(name)
        except TaskError:
            bad.append(name)
    says = f"{workspace.data}, {len(names)} task{'' if len(names) == 1 else 's'}"
    if bad:
        return Check("data", False, f"{says}; not readable: {', '.join(bad)}", f"To see why: fsat validate {bad[0]}")
    return Check("data", True, says, "" if names else "Make a task: fsat init NAME --samples FILE")


def check_store() -> Check:
    """Return the store's folder, and the free space of its disk."""
    store = Workspace.from_env().store
    try:
        there = next(folder for folder in (store, *store.parents) if folder.exists())
    except OSError as error:
        return Check("store", False, f"{store} cannot be reached: {reason(error)}", "Set FSAT_STORE to a folder of yours.")
    if not os.access(there, os.W_OK) or not there.is_dir():
        return Check("store", False, f"{store} cannot be written", "Set FSAT_STORE to a folder of yours.")
    free = shutil.disk_usage(there).free
    says = f"{store}{'' if there == store else ', not made yet'}, {free / 1e9:,.1f} GB free"
    return Check(
        "store", free >= LEAST_FREE, says, "" if free >= LEAST_FREE else "Free some space: fsat gc --dry-run says what could go."
    )


def check_signing() -> Check:
    """Return whether entries of the registry are signed."""
    return Check(
        "signing key", True, "FSAT_SIGNING_KEY is set" if signing_key() else "none: entries of the registry are not signed"
    )


def check_tools() -> Check:
    """Return which optional packages are installed."""
    found = (f"{name} {installed(name) or f'is not installed (fsat[{extra}])'}" for name, extra in TOOLS.items())
    return Check("extras", True, ", ".join(found))


def check_airflow() -> Check:
    """Return whether there is a private Airflow, and whether it has the pools that the DAGs name."""
    if not (there := installed("apache-airflow")):
        return Check("Airflow", True, "not installed (fsat[airflow])")
    home = Path(os.environ.get("AIRFLOW_HOME", ".airflow")).absolute()
    if not (home / "airflow.db").is_file():
        return Check("Airflow", True, f"{there}; no private Airflow in {home}, fsat airflow init makes one")
    settings = environment(home)
    wanted = {name for pool in POOLS if (name := settings[f"FSAT_{pool.upper()}_POOL"])}
    command = [airflow_command(settings), "pools", "list", "--output", "json"]
    try:
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=PATIENCE, check=True)  # noqa: S603 (no shell)
        pools = {str(pool["pool"]): int(pool["slots"]) for pool in json.loads(done.stdout)}
    except (subprocess.SubprocessError, ValueError, LookupError, TypeError):
        return Check("Airflow", False, f"{there} in {home} does not list its pools", "Try: fsat airflow exec pools list")
    says = f"{there} in {home}, pools {', '.join(f'{name} ({slots})' for name, slots in sorted(pools.items()))}"
    if missing := sorted(wanted - set(pools)):
        return Check("Airflow", False, f"{says}; missing: {', '.join(missing)}", "Make them: fsat airflow init")
    return Check("Airflow", True, says)
