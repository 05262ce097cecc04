"""Fine-tuning that takes far longer than planned is said once, after its first epoch."""

from __future__ import annotations

import pytest

from fsat_tasks.tuning.pace import LimitReachedError, Pace

PLANNED = Pace("body", epochs=5, seconds=30.0)
ROWS = 500


def test_training_that_keeps_to_its_plan_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for seconds in (1.0, 30.0, 59.0):
        clock = iter([60.0, 60.0 + seconds / PLANNED.epochs])
        count = PLANNED.watch(lambda _: None, ROWS, clock.__next__)
        for done in (10, 110, ROWS):
            count(done)
    assert caplog.records == []


def test_training_that_takes_far_longer_is_said_once_with_both_times(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([60.0, 60.0 + 23.0])
    count = PLANNED.watch(lambda _: None, ROWS, clock.__next__)
    for done in (10, 60, 110, 300, ROWS):
        count(done)
    (record,) = caplog.records
    assert record.getMessage() == (
        "body: an epoch takes 23 s, planned are 6 s, as on a busy machine. Fine-tuning may take 115 s in place of 30 s."
        " The model will be the same."
    )


def test_a_few_seconds_more_than_planned_are_not_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    clock = iter([0.0, 2.0])
    count = Pace("body", epochs=5, seconds=1.0).watch(lambda _: None, ROWS, clock.__next__)
    for done in (10, 110):
        count(done)
    assert caplog.records == []


def test_rows_of_earlier_runs_count_as_done(caplog: pytest.LogCaptureFixture) -> None:
    clock, reported = iter([0.0, 9.0]), list[int]()
    count = PLANNED.watch(reported.append, ROWS, clock.__next__)
    for done in (200, 300, ROWS):
        count(done)
    assert reported == [200, 300, ROWS]
    assert caplog.records == []


def test_training_is_stopped_at_the_deadline() -> None:
    clock = iter([59.0, 59.5, 60.5])
    count = Pace("body", epochs=5, seconds=30.0, deadline=60.0).watch(lambda _: None, ROWS, clock.__next__)
    count(10)
    with pytest.raises(LimitReachedError):
        count(20)
