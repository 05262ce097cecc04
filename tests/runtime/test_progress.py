"""Progress where there is no terminal: long work has a line now and then, quick work has none."""

from __future__ import annotations

import pytest

from fsat_tasks.runtime import progress


def test_quick_work_has_no_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with progress.show_progress("encode", 20) as report:
        report(10)
        report(20)
    assert caplog.messages == []


def test_long_work_has_lines_to_its_end(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.show_progress("encode", 20) as report:
        report(10)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1000.0)
        report(15)
        report(20)
    assert [message.split(",")[0] for message in caplog.messages] == ["encode: 10 of 20 rows", "encode: 20 of 20 rows"]


def test_long_work_without_a_known_end_has_lines_too(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.show_progress("predict", None) as report:
        report(10)
    assert [message.split(",")[0] for message in caplog.messages] == ["predict: 10 rows"]
