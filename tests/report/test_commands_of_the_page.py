"""The last command below the decision, which is about the data."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest

from fsat_tasks.report.data_step import data_steps
from fsat_tasks.tasks.task import Task, load_task

WEAK = {"suspects": {"count": 0}, "classes": [{"label": "a", "recall": 0.4, "rows": 10, "f1": 0.5}]}
PERFECT = {"suspects": {"count": 0}, "classes": [{"label": "a", "recall": 1.0, "rows": 3, "f1": 1.0}]}


@pytest.fixture
def task(make_task: Callable[..., str], toy_rows: list[tuple[str, str]]) -> Task:
    return load_task(make_task(toy_rows, unlabelled=toy_rows))


def test_suspects_come_before_the_weakest_class(task: Task) -> None:
    ((command, purpose),) = data_steps(task, WEAK | {"suspects": {"count": 2}}, has_champion=True)
    assert purpose == "check the 2 suspected labels below, correct samples.csv, and run again"
    assert command == "fsat run task-0"


def test_a_champion_picks_the_rows_to_label(task: Task) -> None:
    ((command, purpose),) = data_steps(task, WEAK, has_champion=True)
    assert purpose.endswith("(a is the weakest class: 4 of its 10 rows are found)")
    assert shlex.split(command) == ["fsat", "apply", "task-0", str(task.file("unlabelled")), "--out", "review"]
    ((command, purpose),) = data_steps(task, WEAK, has_champion=False)
    assert command == "fsat run task-0"


@pytest.mark.parametrize("sections", [PERFECT, {"suspects": None, "classes": None}])
def test_perfect_answers_and_numbers_give_no_reason(task: Task, sections: dict[str, object]) -> None:
    assert data_steps(task, sections, has_champion=True) == ()
