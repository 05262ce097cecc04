"""MLflow: a real server with a SQLite store, if it is installed; and runs without MLflow."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact
from fsat_tasks.tasks.task import load_task

needs_client = pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed: pip install 'fsat[mlflow]'")
needs_server = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("mlflow", "flask", "huey")),
    reason="MLflow's server is not installed: pip install mlflow, in an environment of its own",
)
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def toy(make_task: Callable[..., str], encoder_store: Path, toy_rows: list[tuple[str, str]]) -> str:
    gates = {"min_accuracy": 0.0, "min_macro_f1": 0.0, "min_class_recall": 0.0, "max_ece": 1.0}
    return make_task(toy_rows, gates=gates, classes={"animal": "a living thing: {%}"})


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of this test's own, which MLFLOW_TRACKING_URI names."""
    folder = tmp_path / "mlflow"
    folder.mkdir()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"{uri}/health", process, folder / "log")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def publish(name: str) -> dict[str, Artefact]:
    return run_steps(load_task(name))


@needs_server
def test_decision_is_one_run_with_params_metrics_tags_report_and_model(
    server: str, toy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    artefacts = publish(toy)
    publish(toy)
    assert capsys.readouterr().out == ""
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(f"fsat/{toy}")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    decision = artefacts["publish"].json("decision.json")
    assert run.info.status == "FINISHED"
    assert run.data.params["gates.min_accuracy"] == "0.0"
    assert run.data.params["encoder.name"] == "all-MiniLM-L6-v2"
    assert run.data.metrics["accuracy"] == decision["metrics"]["accuracy"]
    tags = run.data.tags
    assert (tags["fsat.key"], tags["fsat.decision"], tags["fsat.outcome"]) == (artefacts["publish"].key, "promote", "promoted")
    reasons = {gate["gate"]: gate["reason"] for gate in decision["gates"]}
    assert tags["fsat.gate.accuracy"] == reasons["accuracy"]
    report = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert Path(report).read_bytes() == (artefacts["publish"].path / "report.html").read_bytes()
    assert sorted(file.path for file in client.list_artifacts(run.info.run_id, "serving")) == [
        "serving/README.md",
        "serving/config.json",
        "serving/tokenizer.json",
    ]


@needs_server
def test_logged_model_has_its_signature_and_gives_the_probabilities_of_the_published_one(
    server: str, toy: str, tmp_path: Path
) -> None:
    import mlflow
    import numpy as np
    import onnxruntime

    model = publish(toy)["export"]
    (tmp_path / "logged").mkdir()
    experiment = mlflow.get_experiment_by_name(f"fsat/{toy}")
    assert experiment is not None
    (logged,) = mlflow.search_logged_models([experiment.experiment_id], output_format="list")
    folder = Path(mlflow.artifacts.download_artifacts(logged.model_uri, dst_path=str(tmp_path / "logged")))
    signature = mlflow.models.get_model_info(str(folder)).signature
    assert [(one.name, str(one.type), one.shape) for one in signature.inputs] == [
        ("input_ids", "int64", (-1, -1)),
        ("attention_mask", "int64", (-1, -1)),
    ]
    assert [(one.name, str(one.type)) for one in signature.outputs] == [("probabilities", "float32"), ("scope", "float32")]
    ids = np.array([[101, 1037, 4937, 102]], dtype=np.int64)
    (path,) = folder.rglob("model.onnx")
    answers = [
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(
            ["probabilities"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        )[0]
        for file in (path, model.path / model.json("config.json")["served"])
    ]
    assert np.array_equal(*answers)


@needs_server
def test_approval_later_changes_the_outcome_and_adds_no_run(
    server: str, make_task: Callable[..., str], encoder_store: Path, toy_rows: list[tuple[str, str]]
) -> None:
    import mlflow

    gates = {"min_accuracy": 0.0, "min_macro_f1": 0.0, "min_class_recall": 0.0, "max_ece": 1.0}
    name = make_task(toy_rows, gates=gates, approval=True)
    for approved in (False, True, False):
        run_steps(load_task(name, approved=approved))
    experiment = mlflow.get_experiment_by_name(f"fsat/{name}")
    assert experiment is not None
    (run,) = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    assert run.data.tags["fsat.outcome"] == "promoted"


@needs_client
def test_server_that_does_not_answer_costs_a_warning_and_not_the_run(
    port: int, toy: str, encoder_store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    publish(toy)
    assert (encoder_store / "registry" / toy / "champion.json").is_file()
    started = time.perf_counter()
    caplog.clear()
    publish(toy)
    assert time.perf_counter() - started < 30
    (warning,) = [record.message for record in caplog.records if record.name == "fsat_tasks.integrations.mlflow"]
    assert warning.startswith(f"MLflow at http://127.0.0.1:{port}: the run is not logged: ")


def test_missing_client_is_said_once_with_what_to_install(
    toy: str, encoder_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with caplog.at_level(logging.WARNING):
        assert cli("run", toy)[0] == 0
    said = [record.message for record in caplog.records if record.name == "fsat_tasks.integrations.mlflow"]
    assert said == ["MLFLOW_TRACKING_URI is set and mlflow is not installed: nothing is logged. pip install 'fsat[mlflow]'"]
    assert json.loads((encoder_store / "registry" / toy / "champion.json").read_text())["version"] == 1


def test_without_the_variable_and_in_a_dry_run_nothing_is_told(
    toy: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    publish(toy)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    run_steps(load_task(toy, dry_run=True))
    assert [record for record in caplog.records if record.name == "fsat_tasks.integrations.mlflow"] == []
