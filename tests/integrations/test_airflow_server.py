"""The private Airflow of this machine: the pools that its DAG files name, and the command that runs Airflow in it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fsat_tasks.integrations.airflow_server import POOLS, environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("given", [None, "mine", ""])
def test_gpu_steps_and_snapshots_have_pools_unless_the_environment_says_otherwise(
    given: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(ROOT / "dags"))
    for pool in POOLS:
        monkeypatch.delenv(f"FSAT_{pool.upper()}_POOL", raising=False)
        if given is not None:
            monkeypatch.setenv(f"FSAT_{pool.upper()}_POOL", given)
    found = environment(tmp_path)
    for pool in POOLS:
        assert found[f"FSAT_{pool.upper()}_POOL"] == (pool if given is None else given)


def airflow_exec(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fsat_tasks.cli", "airflow", "exec", "--home", str(home), "--", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_exec_reaches_airflow_and_nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    process = airflow_exec(tmp_path, "config", "list")
    try:
        found, deadline = psutil.Process(process.pid), time.monotonic() + 300
        while Path((found.cmdline() or [""])[-3:][0]).name != "airflow":  # until the process is Airflow's
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        assert found.children(recursive=True) == []
        process.send_signal(number)
        assert process.wait(60) == -number
    finally:
        process.kill()
        process.wait()


def test_exec_ends_with_airflows_exit_code(tmp_path: Path) -> None:
    assert airflow_exec(tmp_path, "no-such-command").wait() == 2
