"""A way through Airflow's pages in a real browser: log in, fill in the form, read the report, approve; drift does the rest."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.open_gates import OPEN_GATES
from browser import Tab
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Store

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data" / "support-intents"
PATIENCE = 600.0
"""Maximum number of seconds to wait; a quiet machine takes one."""

pytestmark = [pytest.mark.distributed, pytest.mark.timeout(2400)]


@dataclass(frozen=True)
class Ui:
    """Address and login that `fsat airflow up` printed."""

    address: str
    user: str
    password: str


@contextmanager
def airflow_up(home: Path) -> Iterator[Ui]:
    """Start Airflow's pages, and interrupt them at the end as Ctrl-C does. None of its processes may run after that."""
    command = [sys.executable, "-m", "fsat_tasks.cli", "airflow", "up", "--home", str(home), "--port", str(free_port())]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    started: list[psutil.Process] = []
    try:
        printed = "".join(process.stdout.readline() for _ in range(3))
        found = re.search(r"The UI: +(http://[\d.:]+)/\S*\nLog in: +(\w+), password (\S+)\nCtrl-C stops it\.", printed)
        assert found is not None, printed + (home / "up.log").read_text("utf-8")[-3000:]
        started = psutil.Process(process.pid).children(recursive=True)
        assert addresses(started) == {"127.0.0.1"}
        yield Ui(*found.groups())
        assert "Could not read served logs" not in (home / "up.log").read_text("utf-8")
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(120)
    assert code == 0
    assert [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def addresses(processes: list[psutil.Process]) -> set[str]:
    """Return the addresses on which the processes listen."""
    connections = [one for process in processes if process.is_running() for one in process.net_connections("inet")]
    return {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}


def wait_until_heard(log: Path, task: str) -> None:
    """Wait until the scheduler has heard that the process which asks has ended.

    Airflow 3.3 takes an answer that comes before, in the first five seconds, for a task that was killed, and asks again.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if re.search(rf"Received executor event .*task_id='{re.escape(task)}'", log.read_text("utf-8")):
            return
        time.sleep(0.5)
    raise AssertionError(f"the scheduler heard nothing of {task}")


def wait_until(what: str, holds: Callable[[], bool]) -> None:
    """Wait for what a page does not tell: it shows the success of a run's first steps, and old questions too."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.5)


def chosen_tasks(home: Path) -> list[tuple[str, str]]:
    """Return the type of each run of fsat_tune, and the tasks that it has chosen as JSON, the first run first."""
    with closing(sqlite3.connect(home / "airflow.db")) as database:
        return database.execute(
            "select run_type, value from dag_run join xcom using (dag_id, run_id)"
            " where dag_id = 'fsat_tune' and task_id = 'choose' and key = 'return_value' order by id"
        ).fetchall()


def free_port() -> int:
    """Return the first of two free ports in a row."""
    for first in range(18080, 19000, 10):
        with socket.socket() as one, socket.socket() as two:
            try:
                for place, probe in enumerate((one, two)):
                    probe.bind(("127.0.0.1", first + place))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


def status(address: str) -> int:
    """Return the status that the server gives to somebody without a login."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def task(data_root: Path) -> str:
    """A task of three classes of the demo, whose model waits for a person's yes. Its new texts are of other classes."""
    labels = sorted({row["label"] for row in read("samples.csv")})[:3]
    folder = data_root / "tickets"
    folder.mkdir()
    write(folder / "samples.csv", [row for row in read("samples.csv") if row["label"] in labels])
    with (DEMO / "unlabelled.jsonl").open(encoding="utf-8") as file:
        write(folder / "unlabelled.csv", [{"text": json.loads(line)["text"]} for line in list(file)[:150]])
    write(
        folder / "new.csv",
        [{"text": f"{row['text']} {row['text']}"} for row in read("samples.csv") if row["label"] not in labels],
    )
    files = {"samples": "samples.csv", "unlabelled": "unlabelled.csv", "watch": {"traffic": "new.csv"}}
    text = json.dumps(files | {"approval": True, "tune": {"body": "off"}, "gates": OPEN_GATES})
    (folder / "task.yaml").write_text(text, "utf-8")  # JSON is YAML
    return folder.name


def read(name: str) -> list[dict[str, str]]:
    with (DEMO / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def log_in(tab: Tab, ui: Ui) -> None:
    """Ask for the page of fsat_tune, log in, and wait for that page."""
    tab.open(f"{ui.address}/dags/fsat_tune")
    tab.wait("document.querySelector('input[type=password]')", PATIENCE)
    tab.type("input[name=username]", ui.user)
    tab.type("input[type=password]", ui.password)
    tab.press_enter()
    tab.wait("location.pathname === '/dags/fsat_tune'", PATIENCE)  # the page that was asked for


def open_form(tab: Tab, ui: Ui, dag: str) -> None:
    """Open the form of a DAG, in which no task is chosen yet."""
    tab.open(f"{ui.address}/dags/{dag}")
    tab.wait("document.querySelector('[data-testid=trigger-dag-button]')", PATIENCE)
    tab.click("[data-testid=trigger-dag-button]")
    tab.wait("document.querySelector('[name=element_task]')?.value === ''", PATIENCE)


def submit_form(tab: Tab) -> str:
    """Submit the form. Returns the path of the page of the run that it starts."""
    tab.settle()
    tab.click("[data-testid=trigger-dag-submit]")
    tab.wait("location.pathname.includes('/runs/')", PATIENCE)
    return str(tab.ask("location.pathname"))


def test_person_logs_in_fills_in_the_form_reads_the_report_and_approves_and_drift_starts_the_next_run(
    task: str, store_root: Path, tab: Tab, tmp_path: Path
) -> None:
    home = tmp_path / "airflow"
    with airflow_up(home) as ui:
        log_in(tab, ui)
        open_form(tab, ui, "fsat_tune")
        tab.settle()
        tab.type("[name=element_task]", task)
        tab.click_text("button", "In place of task.yaml")
        tab.wait("document.querySelector('[name=element_shots]').getBoundingClientRect().height > 0", PATIENCE)
        tab.settle()
        tab.type("[name=element_shots]", "5")
        run = submit_form(tab)

        question = f"Promote the new model of {task}?"
        tab.wait_for_text(f"{ui.address}/required_actions", question, PATIENCE)
        tab.click_text("a", "Promote the new model")
        tab.wait("document.querySelector('[data-testid=hitl-option-Approve]')", PATIENCE)
        asked = tab.ask("location.href")
        link = str(tab.ask("[...document.querySelectorAll('a')].find(one => one.innerText === 'Report').href"))
        tab.open(link)
        report, origin, complaints = tab.text(), tab.ask("self.origin"), tab.complaints()
        statuses = [status(address) for address in (link, f"{ui.address}/fsat/reports/{'0' * 64}")]
        tab.open(f"{ui.address}/fsat/reports/..%2F..%2Fmanifest.json")
        outside = tab.text()
        tab.open(f"{ui.address}{run}/tasks/model.decide/mapped/0/details")
        tab.wait(f"[...document.querySelectorAll('a')].some(one => one.href === '{link}')", PATIENCE)

        wait_until_heard(home / "up.log", "model.approve")
        tab.open(asked)
        tab.wait("document.querySelector('[data-testid=hitl-option-Approve]')", PATIENCE)
        tab.click("[data-testid=hitl-option-Approve]")
        wait_until("the champion", lambda: Registry(store_root, task).champion() is not None)
        tab.wait_for_text(f"{ui.address}{run}", "Success", PATIENCE)

        open_form(tab, ui, "fsat_watch")  # of the only task
        watched = submit_form(tab)
        tab.wait_for_text(f"{ui.address}{watched}", "Success", PATIENCE)
        wait_until("a run by drift", lambda: len(chosen_tasks(home)) == 2)
        tab.wait_for_text(f"{ui.address}/required_actions", question, PATIENCE)
        tab.open("about:blank")  # so that the page does not ask for a server that has stopped

    champion = Registry(store_root, task).champion()
    assert champion is not None and champion["version"] == 1
    decision = Store(store_root).find("publish", champion["decision"]["key"])
    assert decision is not None and decision.manifest["config"]["shots"] == 5
    assert link == f"{ui.address}/fsat/reports/{decision.key}"
    assert task in report and complaints == []
    assert origin == "null"  # a sandbox: what a report quotes of users reaches nothing of Airflow
    assert statuses == [401, 401]  # of somebody who has not logged in
    assert '"detail":"Not Found"' in outside
    assert tab.complaints() == []
    started = chosen_tasks(home)
    assert [kind for kind, _ in started] == ["manual", "asset_triggered"]
    assert json.loads(started[1][1]) == [{"task": task, "unlabelled": "new.csv"}]
