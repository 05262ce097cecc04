"""The estimate of a run's time: what is made takes none, and the budget counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.steps.estimate import estimate_seconds, say_estimate
from fsat_tasks.tasks.task import load_task

ROWS = [("a cat", "pets"), ("a dog", "pets"), ("a plane", "travel"), ("a train", "travel")]


def test_steps_that_are_made_take_no_time(demo_copy: Path) -> None:
    assert estimate_seconds(load_task("support-intents"), "publish") == 0
    assert estimate_seconds(load_task("support-intents", {"seed": 1}), "validate") == 0
    assert estimate_seconds(load_task("support-intents", {"seed": 1}), "publish") > 0


def test_budget_counts_with_a_quarter_more_unless_the_encoder_is_left_alone(make_task: Callable[..., str]) -> None:
    none, some, off = ({"budget_seconds": 0}, {"budget_seconds": 80}, {"budget_seconds": 80, "body": "off"})
    seconds = [estimate_seconds(load_task(make_task(ROWS, tune=tune)), "publish") for tune in (none, some, off)]
    assert [value - seconds[0] for value in seconds] == [0, 100, 0]
    assert estimate_seconds(load_task(make_task(ROWS, tune=some)), "extract") < seconds[0]


@pytest.mark.parametrize(("seconds", "minutes"), [(1, "1 minute "), (60, "1 minute "), (61, "2 minutes "), (400, "7 minutes ")])
def test_estimate_is_said_in_whole_minutes(seconds: float, minutes: str) -> None:
    assert say_estimate(seconds).startswith(f"at most about {minutes}")
