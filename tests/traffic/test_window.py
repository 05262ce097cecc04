"""The file that is a task's traffic, and its rows that are the window."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.errors import DataError, TaskError
from fsat_tasks.tasks.files import newest_file
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.traffic.window import read_window

Row = tuple[str, str]


def write_texts(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


@pytest.fixture
def task(make_task: Callable[..., str], toy_rows: list[Row]) -> Task:
    return load_task(make_task(toy_rows, watch={"traffic": "new", "window": 3}))


def put(task: Task, name: str, age: int, rows: int = 5) -> Path:
    path = task.folder / name
    path.parent.mkdir(exist_ok=True)
    write_texts(path, *(f"text {i}" for i in range(rows)))
    os.utime(path, ns=(10**18 - age, 10**18 - age))
    return path


def test_newest_file_of_a_folder_counts(task: Task) -> None:
    put(task, "new/b.jsonl", age=2)
    newest = put(task, "new/a.jsonl", age=1)
    put(task, "new/notes.txt", age=0)
    assert newest_file(task) == newest


@pytest.mark.parametrize("traffic", ["new/a*", "new/a.jsonl", "../task-0/new/[ab].jsonl"])
def test_glob_a_file_and_a_path_from_the_data_root_are_found(task: Task, traffic: str) -> None:
    newest = put(task, "new/a.jsonl", age=1)
    put(task, "new/b.jsonl", age=2)
    assert newest_file(task, traffic) == newest


def test_same_age_is_decided_by_the_name(task: Task) -> None:
    put(task, "new/2024-01-01.jsonl", age=0)
    put(task, "new/2024-01-02.jsonl", age=0)
    assert newest_file(task).name == "2024-01-02.jsonl"


@pytest.mark.parametrize("traffic", ["../../x.jsonl", "/etc/passwd", "../../*.jsonl", "nothing-here.jsonl", "new"])
def test_traffic_that_is_not_there_or_outside_is_bad_input(task: Task, traffic: str) -> None:
    (task.folder / "new").mkdir()
    with pytest.raises(TaskError, match=r"^traffic: expected a"):
        newest_file(task, traffic)


def test_link_out_of_the_data_root_is_bad_input(task: Task, tmp_path: Path) -> None:
    (task.folder / "new").mkdir()
    (task.folder / "new" / "a.jsonl").symlink_to(write_texts(tmp_path / "secret.jsonl", "one", "two"))
    with pytest.raises(TaskError, match="a file inside"):
        newest_file(task)


def test_task_without_traffic_is_told_where_to_name_it(make_task: Callable[..., str], toy_rows: list[Row]) -> None:
    with pytest.raises(TaskError, match=r"task\.yaml: watch\.traffic: expected a file of texts as they come in, got nothing"):
        newest_file(load_task(make_task(toy_rows)))


def test_window_is_the_last_rows_that_have_a_text(task: Task) -> None:
    path = task.folder / "a.jsonl"
    write_texts(path, "one", "two", " ", "three", "", "four")
    assert read_window(task, path) == ["two", "three", "four"]


def test_window_needs_two_rows_and_a_known_format(task: Task) -> None:
    with pytest.raises(DataError, match="two rows with a text"):
        read_window(task, put(task, "a.jsonl", age=0, rows=1))
    with pytest.raises(DataError, match=r"got '\.txt'"):
        read_window(task, put(task, "a.txt", age=0))
