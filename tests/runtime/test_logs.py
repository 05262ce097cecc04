"""fsat's log: the fields of every line, on the command line and under structlog, and the values that it never shows."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from fsat_tasks.errors import DataError
from fsat_tasks.integrations.airflow_deadline import tell_of_deadline
from fsat_tasks.runtime.logs import LONG_WORK, at_work, configure, hide_logins

Cli = Callable[..., tuple[int, str, str]]
Run = Callable[..., Any]

log = logging.getLogger("fsat_tasks.test")


def set_up_as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Set up logging without pytest's own handlers, which fsat would take for somebody's set-up."""
    for logger in map(logging.getLogger, (None, "fsat_tasks", *LONG_WORK)):
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "level", logger.level)
    return configure()


def test_json_lines_carry_run_task_and_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FSAT_LOG", "json")
    assert set_up_as_in_a_new_process(monkeypatch)
    log.info("before")
    with at_work("tickets", "extract"):
        log.warning("%d of %d rows", 1, 2)
    try:
        raise ValueError("x\ny")
    except ValueError:
        log.exception("failed")
    before, meanwhile, after = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert set(before) == {"time", "level", "logger", "run", "message"}
    assert {name: meanwhile[name] for name in ("level", "logger", "run", "task", "step", "message")} == {
        "level": "warning",
        "logger": "fsat_tasks.test",
        "run": before["run"],
        "task": "tickets",
        "step": "extract",
        "message": "1 of 2 rows",
    }
    assert after["exception"].endswith("ValueError: x\ny")


def test_text_lines_name_task_and_step_and_are_warnings_or_of_long_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FSAT_LOG", raising=False)
    assert not set_up_as_in_a_new_process(monkeypatch)
    log.info("nobody sees it")
    log.warning("before")
    with at_work("tickets", "extract"):
        log.warning("meanwhile")
    with at_work("tickets", "tune"):
        logging.getLogger("fsat_tasks.tuning.encoder_rungs").info("plan")
    lines = capsys.readouterr().err.splitlines()
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d .*", line) for line in lines)
    assert [line[9:] for line in lines] == ["warning: before", "warning: tickets extract: meanwhile", "tickets tune: plan"]


def test_bad_input_is_one_json_line_with_exit_code_2(fsat: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fsat("run", "nowhere", store=tmp_path, data=tmp_path, variables={"FSAT_LOG": "json"})
    (line,) = [json.loads(line) for line in result.stderr.splitlines()]
    assert result.returncode == 2
    assert (line["level"], line["logger"]) == ("error", "fsat_tasks.cli.app")
    assert line["message"].startswith("task 'nowhere': expected a folder with a task.yaml")


def test_unknown_format_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_LOG", "xml")
    assert cli("status") == (2, "", "fsat: FSAT_LOG: expected text or json, got 'xml'.\n")


def test_lines_of_structlog_carry_task_and_step_too() -> None:
    from structlog.contextvars import get_contextvars

    with at_work("tickets", "extract"):
        assert get_contextvars() == {"task": "tickets", "step": "extract"}
    assert get_contextvars() == {}


def test_error_says_in_a_note_which_step_of_which_task() -> None:
    with pytest.raises(DataError) as raised, at_work("tickets", "extract"):
        raise DataError("a.csv, line 2", "text", "nothing")
    assert raised.value.__notes__ == ["In the step extract of the task tickets."]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("API request to https://anna:pass-word@mlflow:5000/api failed", "API request to https://***@mlflow:5000/api failed"),
        ("s3://key:se%2Fcret@bucket, http://token@host", "s3://***@bucket, http://***@host"),
        ("http://127.0.0.1:5000/a@b, mail anna@example.org", "http://127.0.0.1:5000/a@b, mail anna@example.org"),
    ],
)
def test_logins_in_addresses_are_hidden(text: str, shown: str) -> None:
    assert hide_logins(text) == shown


@pytest.mark.parametrize(("conf", "task"), [({"task": "tickets"}, "tickets"), ({}, "not named"), (None, "not named")])
def test_missed_deadline_is_one_line_with_dag_run_and_task(
    conf: dict[str, str] | None, task: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = {"dag_id": "fsat_tune", "dag_run_id": "manual__1", "state": "running", "conf": conf}
    asyncio.run(tell_of_deadline(24.0, {"dag_run": run, "deadline": {}}))
    (line,) = caplog.messages
    assert line.startswith(f"fsat_tune, run manual__1, task {task}: not done 24 hours after it was queued; its state is running.")
