"""The file fsat_tune.py: how it parses, and the DAG and the form that it makes. Airflow itself runs in airflow_process.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.integrations.airflow_server import POOLS
from tune_call import REPOSITORY, STEPS, TASKS, ask_airflow, call_dags

DAGS = {"fsat_apply", "fsat_housekeeping", "fsat_tune", "fsat_watch"}
HEAVY = {
    "torch",
    "transformers",
    "onnxruntime",
    "great_expectations",
    "pandas",
    "fsat_tasks.encoders.encoder",
    "fsat_tasks.steps.pipeline",
}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("parsed")
    return ask_airflow(folder, REPOSITORY / "data", folder / "store").values


@pytest.fixture(scope="module")
def dag(parsed: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = parsed["dag"]
    return described


def test_dag_files_parse_without_errors(dag: dict[str, Any]) -> None:
    assert dag["errors"] == {}
    assert set(dag["dags"]) == DAGS


def test_parsing_imports_nothing_heavy_and_takes_less_than_a_second(parsed: dict[str, Any]) -> None:
    assert not HEAVY & set(parsed["import"]["before"]), "Airflow itself imports it now: this test sees no longer who does"
    assert "fsat_tasks.tasks.workspace" in parsed["import"]["added"]
    assert not HEAVY & set(parsed["import"]["added"])
    assert parsed["import"]["seconds"] < 1


def test_one_task_a_step_in_order(dag: dict[str, Any]) -> None:
    # all that is mapped over the problems comes after `choose` besides, and what is handed on twice after `decide` and `extract`
    after = {name: [one for one in task["after"] if one != "choose" or name == "validate"] for name, task in dag["tasks"].items()}
    in_order: dict[str, list[str]] = {step: TASKS[number - 1 : number] for number, step in enumerate(TASKS)}
    assert after == in_order | {"choose": [], "publish": ["approve", "decide"]}


def test_order_is_the_pipelines(dag: dict[str, Any]) -> None:
    from fsat_tasks.steps.order import STEPS as PIPELINE

    assert [name for name in dag["tasks"] if name in STEPS] == list(PIPELINE)


def test_no_pool_is_needed_by_default(dag: dict[str, Any]) -> None:
    assert {task["pool"] for task in dag["tasks"].values()} == {"default_pool"}


@pytest.mark.parametrize("file", ["docs/airflow.md", "docker/README.md"])
def test_every_pool_is_made_and_named_where_airflow_is_set_up(file: str) -> None:
    text = (REPOSITORY / file).read_text("utf-8")
    assert set(re.findall(r"airflow pools set (\w+)", text)) == set(POOLS)
    assert "airflow pools set dvc 1 " in text
    assert all(f"FSAT_{name.upper()}_POOL={name}" in text for name in POOLS)


def test_bad_input_fails_at_once_and_lack_of_memory_is_retried(dag: dict[str, Any]) -> None:
    for name, task in dag["tasks"].items():
        assert task["retries"] == 2, name
        assert task["on_exception"] == {
            "InputError": "fail",
            "DataError": "fail",
            "DeviceError": "fail",
            "StoreError": "default",
            "OutOfMemoryError": "retry",
            "MemoryError": "retry",
            "ValueError": "default",
        }, name


def test_every_param_has_a_title_and_a_description(dag: dict[str, Any]) -> None:
    assert list(dag["params"]) == ["task", "unlabelled", "shots", "encoder", "seed", "device", "approval", "dry_run"]
    for name, param in dag["params"].items():
        assert param["schema"]["title"], name
        assert param["description"], name


@pytest.mark.parametrize(
    ("name", "default", "accepted"),
    [
        ("task", None, [None, "cpu", "tpu", "yes", "support-intents", "../x"]),
        ("unlabelled", None, [None, "cpu", "tpu", "yes", "support-intents", "../x"]),
        ("shots", None, [None, 1, 1000]),
        ("encoder", None, [None, "cpu", "tpu", "yes", "support-intents", "../x"]),
        ("seed", None, [None, 0, 1, 1000, 1001]),
        ("device", None, [None, "cpu"]),
        ("approval", None, [None, "yes"]),
        ("dry_run", False, [True]),
    ],
)
def test_params_accept_what_is_in_bounds_only(dag: dict[str, Any], name: str, default: object, accepted: list[object]) -> None:
    assert dag["params"][name]["default"] == default
    assert dag["params"][name]["accepted"] == accepted


def test_documentation_is_there_for_the_dag_and_each_task(dag: dict[str, Any]) -> None:
    assert "**Held:**" in dag["doc"] and "docs/airflow.md" in dag["doc"]
    assert (REPOSITORY / "docs" / "airflow.md").is_file()
    assert all(task["doc"] for task in dag["tasks"].values())


def test_schedule_is_drift_and_the_environments(dag: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()  # there is no task yet
    scheduled = ask_airflow(tmp_path, tmp_path / "data", tmp_path / "store", FSAT_SCHEDULE="0 3 * * *").values["dag"]
    assert scheduled["errors"] == {}
    assert "CronTriggerTimetable(expression='0 3 * * *'" in scheduled["schedule"]
    assert "fsat-drift" in scheduled["schedule"]
    assert (scheduled["catchup"], scheduled["max_active_runs"]) == (False, 4)
    assert dag == scheduled | {"schedule": "AssetAlias(name='fsat-drift', group='asset')", "versions": dag["versions"]}


def test_pools_and_a_preset_are_the_environments(tmp_path: Path) -> None:
    pools = {f"FSAT_{name.upper()}_POOL": name for name in POOLS}
    found = ask_airflow(tmp_path, tmp_path / "data", tmp_path / "store", FSAT_SCHEDULE="@daily", **pools).values["dag"]
    assert "CronTriggerTimetable(expression='0 0 * * *'" in found["schedule"]
    pooled = {name: task["pool"] for name, task in found["tasks"].items() if task["pool"] != "default_pool"}
    assert pooled == {"encode": "gpu", "extract": "gpu", "tune": "gpu", "snapshot": "dvc"}


def test_new_task_folder_makes_no_new_version_of_a_dag(dag: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a-first", "support-intents", "z-last"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "task.yaml").write_text("samples: samples.csv\n", "utf-8")
    found = ask_airflow(tmp_path, tmp_path / "data", tmp_path / "store").values["dag"]
    assert set(dag["versions"]) == DAGS
    assert found["versions"] == dag["versions"]


def test_runs_have_no_deadline_by_default(dag: dict[str, Any]) -> None:
    assert dag["deadlines"] == {name: [] for name in DAGS}


@pytest.mark.parametrize(
    ("hours", "said"), [("0", None), ("24", "DeadlineAlert object"), ("soon", "FSAT_DEADLINE_HOURS: expected a number of hours")]
)
def test_deadline_is_the_environments(tmp_path: Path, hours: str, said: str | None) -> None:
    call = "from fsat_dags import settings; print(settings.deadline())"
    assert str(said) in call_dags(call, tmp_path / "airflow", FSAT_DEADLINE_HOURS=hours)
