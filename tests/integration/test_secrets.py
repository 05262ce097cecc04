"""No secret of the environment is written or printed, and no name that a user gives reaches a shell.

tests/conftest.py plants the secrets. tests/dags/ looks for them in the runs of the DAG.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest

from fsat_tasks.integrations import mlflow as tracking
from fsat_tasks.integrations.dvc import _complaint

Cli = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[2]


def test_secrets_are_planted(planted: str) -> None:
    assert sum(planted in value for value in os.environ.values()) >= 4


def test_no_secret_is_in_artefacts_manifests_report_registry_or_output(demo_store: Path, planted: str) -> None:
    files = [path for path in demo_store.parent.rglob("*") if path.is_file()]
    assert {"manifest.json", "report.html", "history.jsonl", "printed.txt"} <= {path.name for path in files}
    assert [path for path in files if planted.encode() in path.read_bytes()] == []


def test_no_secret_is_in_what_a_run_that_fails_prints(make_task: Callable[..., str], cli: Cli, planted: str) -> None:
    code, out, err = cli("run", make_task([("a", "x")]))
    assert code == 2
    assert planted not in out + err


def test_login_in_an_address_is_not_in_what_mlflow_and_dvc_complain_of(
    planted: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"https://anna:{planted}@server.example.org/x"

    def fail(*_: object) -> None:
        raise OSError(f"no answer from {address}")

    exceptions = ModuleType("mlflow.exceptions")
    exceptions.MlflowException = type("MlflowException", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)
    monkeypatch.setattr(tracking, "find_spec", lambda _: True)
    monkeypatch.setattr(tracking, "_log_once", fail)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for name in tracking.DEFAULTS:
        monkeypatch.setenv(name, "1")
    tracking.track(Mock(), Mock(), Mock(), Mock(), "promoted")
    assert caplog.messages == [
        "MLflow at https://***@server.example.org/x: the run is not logged: no answer from https://***@server.example.org/x"
    ]
    assert _complaint(f"ERROR: failed to push to {address}\n") == "failed to push to https://***@server.example.org/x"


def test_no_shell_is_called() -> None:
    called = re.compile(r"shell\s*=\s*True|os\.(system|popen|spawn\w*)\(|getoutput\(")
    files = [path for folder in ("fsat_tasks", "dags", "docker") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 80
    assert [str(path) for path in files if called.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("script", [path.name for path in ROOT.glob("dags/*.sh")])
def test_script_quotes_every_value(script: str) -> None:
    for line in (ROOT / "dags" / script).read_text("utf-8").splitlines():
        innermost = re.sub(r'"\$\w+"', "", line.partition(" #")[0])
        bare = re.sub(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\$\(", "", innermost)
        assert "$" not in bare or re.fullmatch(r"\w+=\$\{1:-[\w-]+\}", bare), line  # an assignment splits no words
