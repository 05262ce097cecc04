"""The DAGs of tasks with a schedule or a trigger of their own; Airflow itself runs in schedules_process.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_call import call_airflow

TASKS = {
    "clock": "samples: samples.csv\nschedules: {tune: '0 3 * * 1', apply: '@hourly'}\n",
    "event": "samples: samples.csv\ntriggers: {tune: [champion-clock, traffic]}\n",
    "both": "samples: samples.csv\nschedules: {watch: '@daily'}\ntriggers: {watch: [traffic]}\n",
    "none": "samples: samples.csv\ndescription: no schedules\n",
    "bad-cron": "samples: samples.csv\nschedules: {tune: '61 3 * * 1'}\n",
    "bad-yaml": "samples: samples.csv\nschedules: {tune: [\n",
    "bad-verb": "samples: samples.csv\nschedules: {gc: '@daily'}\n",
    "bad-number": "samples: samples.csv\nschedules: {tune: '@daily'}\nseed: !!int abc\n",
    "bad-asset": "samples: samples.csv\ntriggers: {tune: ['']}\n",
    "bad-text": 'samples: "a\\ud800.csv"\nschedules: {tune: "@daily"}\n',
}
NO_FILES = ("folder", "pipe", "dangling", "device")
"""Tasks whose task.yaml is no file."""


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("schedules")
    for name, text in TASKS.items():
        task = folder / "data" / name
        task.mkdir(parents=True)
        (task / "task.yaml").write_text(text, "utf-8")
        (task / "samples.csv").write_text("text,label\na,b\nc,d\n", "utf-8")
    for name in NO_FILES:
        (folder / "data" / name).mkdir()
    (folder / "data" / "folder" / "task.yaml").mkdir()
    os.mkfifo(folder / "data" / "pipe" / "task.yaml")
    (folder / "data" / "dangling" / "task.yaml").symlink_to("nowhere")
    (folder / "data" / "device" / "task.yaml").symlink_to("/dev/zero")
    done = call_airflow("schedules_process.py", folder, folder / "data", folder / "store", {"task": "clock"})
    return done.values | {"log": done.log}


def test_each_schedule_and_trigger_makes_a_dag_and_what_is_broken_is_left_out(answer: dict[str, Any]) -> None:
    assert answer["errors"] == {}
    assert sorted(answer["dags"]) == ["fsat_apply_clock", "fsat_tune_clock", "fsat_tune_event", "fsat_watch_both"]
    for name in (*NO_FILES, *(name for name in TASKS if name.startswith("bad"))):
        assert f"no schedule for the task {name}: " in answer["log"]


def test_clock_and_events_are_those_of_the_task_file(answer: dict[str, Any]) -> None:
    assert answer["dags"]["fsat_tune_clock"]["when"] == {"cron": "0 3 * * 1", "timezone": "UTC", "assets": []}
    assert answer["dags"]["fsat_apply_clock"]["when"] == {"cron": "0 * * * *", "timezone": "UTC", "assets": []}
    assert answer["dags"]["fsat_tune_event"]["when"] == {"cron": None, "timezone": None, "assets": ["champion-clock", "traffic"]}
    assert answer["dags"]["fsat_watch_both"]["when"] == {"cron": "0 0 * * *", "timezone": "UTC", "assets": ["traffic"]}


def test_process_that_runs_a_task_reads_its_own_task_file_alone(answer: dict[str, Any]) -> None:
    assert answer["read"] == {"fsat_tune_clock": ["clock"], "fsat_tune_clock-2": [], "fsat_tune": []}


def test_past_times_are_not_made_up_for(answer: dict[str, Any]) -> None:
    assert {dag["catchup"] for dag in answer["dags"].values()} == {False}


def test_run_starts_the_verbs_dag_for_this_task_and_both_name_the_task(answer: dict[str, Any]) -> None:
    assert answer["run"]["tasks"] == {"start": "success"}
    note = "Task clock, by fsat_tune_clock"
    assert answer["started"] == [{"dag": "fsat_tune", "conf": {"task": "clock"}, "note": note}]
    assert answer["dags"]["fsat_tune_clock"]["title"] == "fsat_tune for clock, by its schedule"


def test_whatever_one_task_file_says_the_others_keep_their_schedules(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    script = "hostile_schedules_process.py"
    answer = call_airflow(script, tmp_path, tmp_path / "data", tmp_path / "store", PYTHONPATH=paths).values
    assert answer["files"] >= 60
    assert answer["scheduled"] > 5  # six are written down; how many are drawn besides is left to chance
