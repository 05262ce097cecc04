"""No param of any DAG leads out of the data root, and none reaches a shell. Airflow itself runs in params_process.py."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_call import call_airflow

GIVEN = [
    "fsat_apply.files",
    "fsat_apply.task",
    "fsat_tune.encoder",
    "fsat_tune.task",
    "fsat_tune.unlabelled",
    "fsat_watch.task",
    "fsat_watch.traffic",
]
"""Params that take free text."""


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("params")
    task = folder / "data" / "task-0"
    task.mkdir(parents=True)
    (task / "task.yaml").write_text("samples: samples.csv\n", "utf-8")
    for file in (task / "samples.csv", folder / "outside.csv"):
        file.write_text("text,label\nmy card is gone,card\n", "utf-8")
    (task / "link.csv").symlink_to(folder / "outside.csv")
    (task / "up").symlink_to(folder)
    found = call_airflow("params_process.py", folder, folder / "data", folder / "store", str(folder / "outside.csv")).values
    return found | {"owned": [str(path) for path in folder.rglob("owned*")], "store": (folder / "store").exists()}


def test_every_free_text_of_a_form_is_tried_here(answer: dict[str, Any]) -> None:
    assert answer["errors"] == {}
    assert answer["free"] == GIVEN


@pytest.mark.parametrize("given", [*GIVEN, "event.task", "found.file"])
def test_hostile_value_is_bad_input(answer: dict[str, Any], given: str) -> None:
    said = answer["said"][given]
    assert len(said) == 20
    assert {value[:50]: what for value, what in said.items() if what != "bad input"} == {}


def test_form_without_a_task_means_the_only_one(answer: dict[str, Any]) -> None:
    assert answer["chosen"]["only"] == [{"task": "task-0", "unlabelled": None}]


@pytest.mark.parametrize("given", ["several", "unknown"])
def test_task_that_is_not_clear_or_not_there_is_answered_with_the_tasks_that_there_are(
    answer: dict[str, Any], given: str
) -> None:
    assert "Tasks there: task-0, task-1." in answer["chosen"][given]


def test_nothing_was_run_or_written(answer: dict[str, Any]) -> None:
    assert answer["owned"] == []
    assert not answer["store"]
