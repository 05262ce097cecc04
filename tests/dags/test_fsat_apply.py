"""The DAG fsat_apply: real runs of it on the demo's champion; Airflow itself runs in apply_process.py."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_call import call_airflow

REPOSITORY = Path(__file__).parents[2]
TASK = "support-intents"
CONFS: list[dict[str, Any]] = [
    {"task": None},  # the only task; the two files of task.yaml's folder
    {"task": TASK},  # no new ones
    {"task": TASK, "files": "../mixed/*"},  # one that cannot be read, and one that can
    {"task": TASK, "files": "../../outside/*.csv"},
    {"task": TASK, "files": "../quiet"},  # an hour without traffic
]


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> dict[str, Any]:
    """Facts of each run, one after another, and `log`, the printed lines."""
    folder = tmp_path_factory.mktemp("apply")
    shutil.copytree(demo_store, folder / "store", copy_function=os.link)
    data = folder / "data"
    shutil.copytree(REPOSITORY / "data" / TASK, data / TASK)
    with (data / TASK / "task.yaml").open("a") as file:
        file.write("apply: {files: ../incoming}\n")
    for name, content in {
        "data/incoming/monday.csv": "text\nmy card has not arrived\nwhat is the weather in Rome\n",
        "data/incoming/tuesday.txt": "PIN blocked\n\nthe cash machine kept my money\n",
        "data/mixed/bad.csv": "body\nx\n",
        "data/mixed/good.txt": "my card is gone\n",
        "data/quiet/none.csv": "text\n",
        "outside/secret.csv": "text\nx\n",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    done = call_airflow("apply_process.py", folder, data, folder / "store", *CONFS)
    return done.values | {"log": done.log}


def test_file_parses_and_says_what_it_does(answer: dict[str, Any]) -> None:
    assert answer["errors"] == {}
    assert "**Skipped:**" in answer["doc"]
    after = {name: task["after"] for name, task in answer["tasks"].items()}
    assert after == {"find": [], "label": ["find"], "summary": ["label"], "all_labelled": ["label"]}
    assert all(task["doc"] and task["pool"] == "default_pool" for task in answer["tasks"].values())


def test_form_bounds_its_texts(answer: dict[str, Any]) -> None:
    assert list(answer["params"]) == ["task", "files"]
    assert all(param["schema"]["title"] and param["description"] for param in answer["params"].values())
    assert answer["params"]["task"]["schema"]["maxLength"] == 64
    assert answer["params"]["files"]["schema"]["maxLength"] == 200
    assert not any({"", 0, 1} & set(param["accepted"]) for param in answer["params"].values())


def test_each_new_file_is_labelled_by_a_task_of_its_name(answer: dict[str, Any]) -> None:
    run = answer["runs"][0]
    assert run["state"] == "success"
    assert run["tasks"] == dict.fromkeys(("find", "label", "label[1]", "summary", "all_labelled"), "success")
    files = ["incoming/monday.csv", "incoming/tuesday.txt"]
    assert run["xcoms"]["find"] == [{"task": TASK, "file": file} for file in files]
    assert [(one["state"], one["name"]) for one in run["label"]] == [("success", file) for file in files]
    assert run["keys"] == [[name, "return_value"] for name in ("find", "label", "label[1]", "summary")]


def test_figures_are_told_with_the_review_files(answer: dict[str, Any]) -> None:
    run = answer["runs"][0]
    (event,) = run["events"]
    assert (event["asset"], event["uri"]) == (f"predictions-{TASK}", f"fsat://predictions/{TASK}")
    figures = run["xcoms"]["summary"]
    assert (figures["files"], figures["rows"], figures["blank"]) == (2, 5, 1)
    reviews = event["extra"].pop("reviews")
    assert event["extra"] == figures
    assert figures["out_of_scope"] >= 1
    assert all(
        Path(path).is_file() and len(pq.read_table(Path(path).with_name("predictions.parquet"))) in (2, 3) for path in reviews
    )


def test_no_new_file_ends_as_skipped(answer: dict[str, Any]) -> None:
    run = answer["runs"][1]
    assert run["state"] == "success"
    assert run["tasks"] == dict.fromkeys(("find", "label", "summary", "all_labelled"), "skipped")
    assert run["events"] == []
    assert "No new file: the champion has labelled all 2 of them." in answer["log"]


def test_file_that_cannot_be_read_fails_the_run_and_takes_no_other_with_it(answer: dict[str, Any]) -> None:
    run = answer["runs"][2]
    assert run["state"] == "failed"
    assert {one["name"]: (one["state"], one["tries"]) for one in run["label"]} == {
        "mixed/bad.csv": ("failed", 1),
        "mixed/good.txt": ("success", 1),
    }
    assert (run["tasks"]["summary"], run["tasks"]["all_labelled"]) == ("success", "upstream_failed")
    (event,) = run["events"]
    assert (event["extra"]["files"], event["extra"]["rows"]) == (1, 1)
    assert re.search(r"ColumnError: \S*bad\.csv: expected a column 'text', got the columns 'body'", answer["log"])


def test_file_without_rows_is_no_failure(answer: dict[str, Any]) -> None:
    run = answer["runs"][4]
    assert run["state"] == "success"
    (event,) = run["events"]
    assert (event["extra"]["files"], event["extra"]["rows"], event["extra"]["abstained_share"]) == (1, 0, 0.0)
    assert event["extra"]["reviews"] == []


def test_path_out_of_the_data_root_fails_at_once(answer: dict[str, Any]) -> None:
    run = answer["runs"][3]
    assert (run["state"], run["tasks"]["find"], run["tries"]["find"]) == ("failed", "failed", 1)
    assert re.search(r"TaskError: files: expected a file inside \S*data, got '\.\./\.\./outside'", answer["log"])
