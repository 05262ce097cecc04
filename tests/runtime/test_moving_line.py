"""The moving line on a terminal: what it says, that it fits, and that other lines stand above it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from fsat_tasks.runtime.progress import clock

SCRIPT = """
import logging, sys, time
from fsat_tasks.runtime import logs, progress
logs.configure()
progress.QUICK = 0.0
with progress.show_work("desk"), progress.show_work("tune, step 3 of 6"):
    with progress.show_progress("fine-tune the encoder", 4000) as report:
        report(1000)
        time.sleep(0.5)
        logging.getLogger("fsat_tasks").warning("a warning")
        print("and a line", file=sys.stderr)
    with progress.show_progress("tune", 2000) as report:
        report(500)
        time.sleep(0.5)
    with progress.show_progress("predict", None) as report:
        report(1234)
        time.sleep(0.5)
    with progress.show_work("x" * 200):
        time.sleep(0.5)
print("done")
"""


@pytest.fixture(scope="module")
def screen() -> str:
    """Output for a terminal of 80 columns, without styles."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdin=follower, stdout=follower, stderr=follower):
        os.close(follower)
        written = b""
        while part := _read(leader):
            written += part
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[mhl]", "", written.decode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the process has ended
        return b""


def frames(screen: str) -> list[str]:
    return [frame.strip() for frame in re.split(r"\r|\n|\x1b\[2K|\x1b\[1A", screen) if frame.strip()]


def test_line_says_step_count_and_time_left(screen: str) -> None:
    assert re.search(r"⠋? tune, step 3 of 6 · fine-tune the encoder: 1,000 of 4,000, 0:0[0-9] left  0:0", screen)
    assert re.search(r"desk · tune, step 3 of 6 · 500 of 2,000, 0:0[0-9] left  0:0", screen)


def test_line_counts_rows_of_which_nobody_knows_the_number(screen: str) -> None:
    assert "tune, step 3 of 6 · predict: 1,234 done" in screen


def test_line_fits_80_columns(screen: str) -> None:
    assert max(map(len, frames(screen))) <= 80
    assert any(frame.endswith("0:02") and "xxx…" in frame for frame in frames(screen))


def test_warnings_and_lines_stand_alone_above_it_and_the_line_goes(screen: str) -> None:
    assert "WARNING fsat_tasks: a warning" in frames(screen)
    assert "and a line" in frames(screen)
    assert frames(screen)[-1] == "done"


@pytest.mark.parametrize(("seconds", "shown"), [(0.4, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_nothing_moves_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from fsat_tasks.runtime.progress import show_progress, show_work

    with show_work("work"), show_progress("rows", 3) as report:
        report(3)
    assert capsys.readouterr() == ("", "")
