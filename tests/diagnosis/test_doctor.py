"""fsat doctor: what it finds, what it warns of, and what it says to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.diagnosis import machine, workplace
from fsat_tasks.diagnosis.check import Check, look_at
from fsat_tasks.errors import DataError, DvcError

Cli = Callable[..., tuple[int, str, str]]


def test_all_is_well_in_a_new_folder_with_a_task(make_task: Callable[..., str], cli: Cli) -> None:
    make_task([("a", "x"), ("b", "y")])
    code, out, err = cli("doctor")
    assert (code, err) == (0, "")
    assert {line.split()[0] for line in out.splitlines()[:-1]} == {"ok"}
    assert "all-MiniLM-L6-v2" in out
    assert "1 task" in out
    assert out.splitlines()[-1] == "fsat finds all that it needs."


def test_warnings_say_what_to_do_and_alone_end_well(make_task: Callable[..., str], cli: Cli, data_root: Path) -> None:
    name = make_task([("a", "x"), ("b", "y")])
    (data_root / name / "task.yaml").write_text("nonsense: 1\n")
    code, out, _ = cli("doctor")
    assert code == 0
    assert f"To see why: fsat validate {name}" in out
    assert out.splitlines()[-1] == "1 warning."


def test_variables_that_no_verb_can_use_are_faults(
    make_task: Callable[..., str], cli: Cli, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_task([("a", "x"), ("b", "y")])
    (data_root / name / "task.yaml").write_text("nonsense: 1\n")
    monkeypatch.setenv("FSAT_ENCODERS", str(data_root / "gone"))
    monkeypatch.setenv("FSAT_SIGNING_KEY", str(data_root / "gone.key"))
    code, out, _ = cli("doctor")
    assert code == 1
    said = [tuple(line.split()[:2]) for line in out.splitlines() if line.startswith(("warn", "fault"))]
    assert said == [("warn", "encoders"), ("warn", "data"), ("fault", "signing")]
    assert out.splitlines()[-1] == "1 fault and 2 warnings."


def test_disk_that_is_almost_full_is_a_warning(monkeypatch: pytest.MonkeyPatch, store_root: Path) -> None:
    monkeypatch.setattr(workplace, "LEAST_FREE", float("inf"))
    found = workplace.check_store()
    assert (found.ok, "GB free" in found.says, "fsat gc" in found.fix) == (False, True, True)


def test_memory_that_is_too_small_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LEAST_MEMORY", float("inf"))
    assert not machine.check_cores().ok


@pytest.mark.parametrize(
    ("onnx", "torch", "said"), [(True, True, "which fsat uses"), (False, True, "ONNX Runtime cannot use it")]
)
def test_gpu_is_named_with_who_can_use_it(onnx: bool, torch: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cuda_devices", lambda: 2)
    monkeypatch.setattr(machine, "onnxruntime_runs_on_cuda", lambda: onnx)
    monkeypatch.setattr(machine, "tuning_device", lambda picked: picked if torch else "cpu")
    found = machine.check_gpu()
    assert (found.ok, said in found.says, bool(found.fix)) == (onnx and torch, True, not (onnx and torch))


def test_encoders_below_the_folder_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "org/theirs"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    monkeypatch.setenv("FSAT_ENCODERS", str(tmp_path))
    assert machine.check_encoders().says.startswith("all-MiniLM-L6-v2, mine, org/theirs")


def airflow_that_lists(pools: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Put a stand-in for the command airflow on the path, and a private Airflow's database beside it."""
    (folder / "airflow.db").touch()
    command = folder / "airflow"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(pools)}\nEND\n")
    command.chmod(0o755)
    monkeypatch.setattr(workplace, "airflow_command", lambda _: str(command))
    for name, value in {"AIRFLOW_HOME": str(folder), **variables}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("pools", "variables", "ok", "said"),
    [
        ([{"pool": "gpu", "slots": "1"}, {"pool": "dvc", "slots": "1"}], {}, True, "dvc (1), gpu (1)"),
        ([{"pool": "gpu", "slots": "1"}], {"FSAT_DVC_POOL": "snapshots"}, False, "missing: snapshots"),
        ("no list", {}, False, "does not list its pools"),
    ],
)
def test_pools_of_airflow_are_listed_and_missing_ones_named(
    pools: Any, variables: dict[str, str], ok: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(repository / "dags"))
    airflow_that_lists(pools, tmp_path, monkeypatch, variables)
    found = workplace.check_airflow()
    assert (found.ok, said in found.says) == (ok, True), found


def test_check_that_fails_has_the_error_and_bad_input_is_a_fault() -> None:
    def bad() -> Check:
        raise DataError("here", "this", "that", "Mend it.")

    def broken() -> Check:
        raise DvcError("no remote")

    assert list(look_at([("one", bad), ("two", broken)])) == [
        Check("one", False, "here: expected this, got that", "Mend it.", fault=True),
        Check("two", False, "no remote"),
    ]
