"""The DAG of housekeeping: its file, its schedule, and the effect of a run on a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_call import call_airflow
from fsat_tasks.store import Recipe, Store

REPOSITORY = Path(__file__).parents[2]
SCRIPT = "housekeeping_process.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with an artefact that nothing points to, and that nobody has used for twelve days."""
    store = Store(tmp_path_factory.mktemp("housekeeping") / "store")
    made = store.build(Recipe("made", 1, {}, {}), lambda folder: None)
    store.keep_until(made, made.path.stat().st_mtime - 12 * 86_400)
    os.utime(made.path, (0, 0))
    return store


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, store: Store) -> dict[str, Any]:
    confs: list[dict[str, Any]] = [{"dry_run": True}, {"dry_run": False, "keep_days": 30}, {"keep_days": 7}]
    return call_airflow(SCRIPT, tmp_path_factory.mktemp("runs"), REPOSITORY / "data", store.root, *confs).values


def test_it_parses_with_a_page_a_form_and_nothing_heavy(answer: dict[str, Any]) -> None:
    assert (answer["errors"], answer["heavy"]) == ({}, [])
    assert "Dry run" in answer["doc"]
    assert answer["task_doc"]
    assert (answer["retries"], answer["pool"]) == (2, "default_pool")
    days, dry_run = answer["params"]["keep_days"], answer["params"]["dry_run"]
    assert (days["default"], days["minimum"], days["maximum"], dry_run["default"]) == (7, 1, 3650, False)
    assert all(param["title"] for param in (days, dry_run))


def test_it_runs_weekly_and_never_beside_itself(answer: dict[str, Any]) -> None:
    assert (answer["schedule"], answer["catchup"], answer["max_active_runs"]) == ("@weekly", False, 1)


def test_schedule_is_the_environments(tmp_path: Path) -> None:
    never = {"FSAT_HOUSEKEEPING_SCHEDULE": "never"}
    assert call_airflow(SCRIPT, tmp_path, REPOSITORY / "data", tmp_path / "store", **never).values["schedule"] is None


def test_dry_run_and_age_leave_an_artefact_and_the_default_removes_it(answer: dict[str, Any], store: Store) -> None:
    assert [(run["state"], run["keys"]) for run in answer["runs"]] == [("success", ["return_value"])] * 3
    dry, young, done = ([*run["xcoms"]] for run in answer["runs"])
    assert [report[0]["removed"] for report in (dry, young, done)] == [
        {"made": {"count": 1, "bytes": 0}},
        {},
        {"made": {"count": 1, "bytes": 0}},
    ]
    assert (dry[0]["dry_run"], done[0]["keep_days"]) == (True, 7)
    assert list(store.root.glob("made/*/*")) == []
