"""The DAG fsat_watch: real runs of it on the demo task; Airflow itself runs in watch_process.py."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_call import call_airflow
from fsat_tasks.tasks.task import load_task

REPOSITORY = Path(__file__).parents[2]
TASK = "support-intents"
CONFS: list[dict[str, Any]] = [
    {"task": TASK, "traffic": "unlabelled.jsonl"},
    {"task": TASK, "traffic": None},  # as task.yaml says: query rows of half of the classes
    {"task": TASK, "traffic": "half.jsonl"},
    {"task": TASK, "traffic": "../../elsewhere.jsonl"},
]
POOL = "no-such-pool"


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> dict[str, Any]:
    """Facts of each run, one after another, and `log`, the printed lines."""
    folder = tmp_path_factory.mktemp("watch")
    shutil.copytree(demo_store, folder / "store", copy_function=os.link)
    shutil.copytree(REPOSITORY / "data" / TASK, folder / "data" / TASK)
    with (folder / "data" / TASK / "task.yaml").open("a") as file:
        file.write("watch: {traffic: 'half.*'}\n")
    rows = (folder / "data" / TASK / "query.jsonl").read_text("utf-8").splitlines()
    kept = set(sorted({json.loads(row)["label"] for row in rows})[::2])
    half = [row for row in rows if json.loads(row)["label"] in kept]
    (folder / "data" / TASK / "half.jsonl").write_text("\n".join(half) + "\n", "utf-8")
    done = call_airflow("watch_process.py", folder, folder / "data", folder / "store", *CONFS, FSAT_GPU_POOL=POOL)
    return done.values | {"log": done.log, "data": str(folder / "data")}


def test_file_parses_and_its_form_is_documented(answer: dict[str, Any]) -> None:
    assert answer["errors"] == {}
    assert "**Drift:**" in answer["doc"]
    assert list(answer["params"]) == ["task", "traffic"]
    assert all(all(texts) for texts in answer["params"].values())
    assert answer["pool"] == POOL


def test_note_of_a_run_names_its_task_once_and_a_missing_pool(answer: dict[str, Any]) -> None:
    said = f"The pool '{POOL}' does not exist. Until it does, these tasks wait: watch. Make it: airflow pools set {POOL} 1 fsat"
    assert answer["note"] == f"Task {TASK}\n\n{said}\n\n{said}"
    assert f"fsat_watch, run {answer['runs'][0]['run_id']}: {said}" in answer["log"]


def test_no_drift_is_a_success_without_an_event(answer: dict[str, Any]) -> None:
    run = answer["runs"][0]
    assert run["tasks"] == {"watch": "success"}
    assert run["xcoms"]["watch"]["drift"] is False
    assert run["keys"] == [["watch", "return_value"]]
    assert run["events"] == []
    assert "No drift of " in answer["log"]


def test_drift_is_told_with_the_pool_that_tuning_takes(answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run = answer["runs"][1]
    assert run["tasks"] == {"watch": "success"}
    (event,) = run["events"]
    assert (event["asset"], event["uri"]) == (f"drift-{TASK}", f"fsat://drift/{TASK}")
    assert event["extra"]["tests"]["labels"]["p_value"] == 0.001
    assert event["extra"]["watch"]["key"] == run["xcoms"]["watch"]["key"]
    monkeypatch.setenv("FSAT_DATA", answer["data"])
    task = load_task(event["extra"]["task"], {"unlabelled": event["extra"]["unlabelled"]})
    assert task.file("unlabelled") == task.folder / "half.jsonl"


def test_the_same_window_is_told_of_once(answer: dict[str, Any]) -> None:
    run = answer["runs"][2]
    assert run["xcoms"]["watch"] == answer["runs"][1]["xcoms"]["watch"] | {"built": False}
    assert run["events"] == []


def test_traffic_outside_of_the_data_root_fails_at_once(answer: dict[str, Any]) -> None:
    run = answer["runs"][3]
    assert (run["state"], run["tries"]) == ("failed", {"watch": 1})
    assert re.search(r"TaskError: traffic: expected a file inside .*, got '\.\./\.\./elsewhere\.jsonl'", answer["log"])
