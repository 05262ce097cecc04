"""Take the pictures of the documentation anew: the report, a terminal, and a run in Airflow.

They show the demo task as it is: `PYTHONPATH=tests:tests/distributed python docs/pictures/take.py`. It needs Chromium, and takes
some minutes. Nothing outside of docs/pictures and a temporary folder is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from browser import Tab, find_browser, open_tab
from test_ui import PATIENCE, airflow_up, log_in, open_form, submit_form

HERE = Path(__file__).parent
TASK = "support-intents"
WIDTH = 100
"""Columns of the terminal."""


def call(*arguments: str) -> str:
    """Run fsat in a terminal, and return what it prints, with its colours."""
    command = " ".join([sys.executable, "-m", "fsat_tasks.cli", *arguments])
    done = subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=False)
    return done.stdout.replace("\r\n", "\n")


def draw_terminal(printed: str, path: Path) -> None:
    """Draw what a terminal shows as SVG."""
    lines = [line.rsplit("\r", 1)[-1] for line in printed.splitlines()]  # without the lines that were moved over
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text.from_ansi("\n".join(line for line in lines if line.strip())))
    path.write_text(console.export_svg(title="fsat"), "utf-8")


def picture_airflow(tab: Tab, home: Path) -> None:
    """Start a run by the form, and take a picture of it when it is done."""
    with airflow_up(home) as ui:
        log_in(tab, ui)
        open_form(tab, ui, "fsat_tune")
        tab.settle()
        tab.screenshot(HERE / "airflow-form.png")
        tab.type("[name=element_task]", TASK)
        run = submit_form(tab)
        while True:
            tab.wait_for_text(f"{ui.address}{run}", "Success", PATIENCE)
            tab.settle()
            if not any(state in tab.text() for state in ("Running", "No Status", "Scheduled", "Queued")):
                break
            time.sleep(2)
        tab.screenshot(HERE / "airflow-run.png")


def main() -> None:
    browser = find_browser()
    assert browser is not None, "expected Chromium"
    with TemporaryDirectory() as scratch:
        shutil.copytree(
            HERE.parents[1] / "data" / TASK, f"{scratch}/data/{TASK}"
        )  # outside of the repository, so no snapshot is made
        os.environ |= {
            "FSAT_DATA": f"{scratch}/data",
            "FSAT_STORE": f"{scratch}/store",
            "COLUMNS": str(WIDTH),
            "TERM": "xterm-256color",
        }
        draw_terminal(call("run", TASK), HERE / "terminal.svg")
        report = Path(call("path", TASK, "--report").strip())
        with open_tab(browser, Path(scratch) / "profile") as tab:
            tab.open(report, width=1100)
            tab.call("Emulation.setDeviceMetricsOverride", width=1100, height=1000, deviceScaleFactor=1, mobile=False)
            tab.screenshot(HERE / "report.png", whole=False)
            picture_airflow(tab, Path(scratch) / "airflow")


if __name__ == "__main__":
    main()
