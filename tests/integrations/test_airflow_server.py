"""The private Airflow of this machine: the pools that its DAG files name."""

from __future__ import annotations

from pathlib import Path

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
