"""The DAG: how its file parses, what it is, and what its runs leave behind. Airflow itself runs in airflow_process.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_call import Answer, call_airflow
from fsat_tasks.integrations.airflow_server import POOLS
from fsat_tasks.registry.registry import Registry

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "data" / "support-intents"
STEPS = ["validate", "extract", "tune", "evaluate", "export", "publish"]
DAGS = {"fsat_apply", "fsat_housekeeping", "fsat_tune", "fsat_watch"}
TASKS = ["choose", "validate", "split", "encode", *STEPS[1:-1], "decide", "approve", "publish", "snapshot"]
"""Of the DAG: which problems; the steps, before `extract` one for each shard of the pools, before `publish` the question of a
person; and last what keeps the champion."""
UNASKED = dict.fromkeys(TASKS, "success") | {"approve": "skipped"}
"""How a run ends that nobody has to approve."""
NO_POOL = {"encode": "skipped"}
"""What is other where the task has no unlabelled texts: nothing is shared out."""
HEAVY = {
    "torch",
    "transformers",
    "onnxruntime",
    "great_expectations",
    "pandas",
    "fsat_tasks.encoders.encoder",
    "fsat_tasks.steps.pipeline",
}


def ask_airflow(folder: Path, data: Path, store: Path, *confs: dict[str, Any], schedule: str = "") -> Answer:
    connection = "postgres://anna:planted-secret-AIRFLOW_CONN@127.0.0.1/warehouse"
    variables = {"FSAT_SCHEDULE": schedule, "AIRFLOW_CONN_WAREHOUSE": connection}
    return call_airflow("airflow_process.py", folder, data, store, *confs, **variables)


# ---- the file and the DAG, without a database


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
    # all that is mapped over the problems comes after `choose` besides
    after = {name: [one for one in task["after"] if one != "choose" or name == "validate"] for name, task in dag["tasks"].items()}
    assert after == {step: TASKS[number - 1 : number] if number else [] for number, step in enumerate(TASKS)}


def test_order_is_the_pipelines(dag: dict[str, Any]) -> None:
    from fsat_tasks.steps.order import STEPS as PIPELINE

    assert [name for name in dag["tasks"] if name in STEPS] == list(PIPELINE)


@pytest.mark.parametrize("file", ["fsat_tasks/integrations/airflow_server.py", "README.md", "docker/README.md"])
def test_every_pool_is_created_wherever_airflow_is_set_up(dag: dict[str, Any], file: str) -> None:
    # a task whose pool does not exist waits for ever
    created = set(re.findall(r"airflow pools set (\w+)", (REPOSITORY / file).read_text("utf-8"))) or set(POOLS)
    assert {task["pool"] for task in dag["tasks"].values()} == created | {"default_pool"}
    assert {name for name, task in dag["tasks"].items() if task["pool"] == "gpu"} == {"encode", "extract", "tune"}
    assert {name for name, task in dag["tasks"].items() if task["pool"] == "dvc"} == {"snapshot"}


def test_pool_of_snapshots_has_one_slot() -> None:
    for file in ("README.md", "docker/README.md"):
        assert "airflow pools set dvc 1 " in (REPOSITORY / file).read_text("utf-8")


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
        ("task", "support-intents", ["support-intents"]),
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
    assert "Held." in dag["doc"]
    assert all(task["doc"] for task in dag["tasks"].values())


CRON = {"0 3 * * *": "0 3 * * *", "@daily": "0 0 * * *"}


@pytest.mark.parametrize("schedule", CRON)
def test_schedule_is_drift_and_the_environments(dag: dict[str, Any], tmp_path: Path, schedule: str) -> None:
    scheduled = ask_airflow(tmp_path, REPOSITORY / "data", tmp_path / "store", schedule=schedule).values["dag"]
    assert scheduled["errors"] == {}
    assert f"CronTriggerTimetable(expression='{CRON[schedule]}'" in scheduled["schedule"]
    assert "fsat-drift" in scheduled["schedule"]
    assert (scheduled["catchup"], scheduled["max_active_runs"]) == (False, 4)
    assert dag == scheduled | {"schedule": "AssetAlias(name='fsat-drift', group='asset')"}


def test_runs_have_no_deadline_by_default(dag: dict[str, Any]) -> None:
    assert dag["deadlines"] == {name: [] for name in DAGS}


@pytest.mark.parametrize(
    ("hours", "said"), [("0", None), ("24", "DeadlineAlert object"), ("soon", "FSAT_DEADLINE_HOURS: expected a number of hours")]
)
def test_deadline_is_the_environments(tmp_path: Path, hours: str, said: str | None) -> None:
    call = "import fsat_common; print(fsat_common.deadline())"
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path / "airflow"), "FSAT_DEADLINE_HOURS": hours}
    environment["PYTHONPATH"] = f"{REPOSITORY / 'dags'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    assert str(said) in done.stdout + done.stderr


def test_file_parses_where_there_is_no_task_yet(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert ask_airflow(tmp_path, tmp_path / "data", tmp_path / "store").values["dag"]["errors"] == {}


# ---- its runs


@dataclass(frozen=True)
class Runs:
    """One run each of four tasks, after one another in the same store, and then one of all that changed: `broken` and `dry`.

    The task folders lie in a repository with DVC.
    """

    repository: Path
    promoted: dict[str, Any]
    held: dict[str, Any]
    dry: dict[str, Any]
    broken: dict[str, Any]
    changed: dict[str, Any]
    store: Path
    log: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    data, store = folder / "data", folder / "store"
    shutil.copytree(DEMO, data / "support-intents")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n", "utf-8")
    few_samples(data / "held", "min_accuracy: 1.0")
    few_samples(data / "dry", "min_accuracy: 0.0, min_macro_f1: 0.0, min_class_recall: 0.0, max_ece: 1.0")
    few_samples(data / "broken", "")
    (data / "broken" / "samples.csv").write_text("text,intent\nmy card is gone,card_lost\n", "utf-8")
    for step in ("encoder", "encoder-int8", "extract"):  # the dear ones
        shutil.copytree(demo_store / step, store / step, copy_function=os.link)
    shutil.copytree(demo_store / "registry" / "support-intents", store / "registry" / "held")
    confs: list[dict[str, Any]] = [{"task": "support-intents"}, {"task": "held"}, {"task": "dry", "dry_run": True}]
    confs += [{"task": "broken"}, {"task": "*", "dry_run": False}]  # in one process a run's params are left for the next
    answer = ask_airflow(folder, data, store, *confs)
    promoted, held, dry, broken, changed = answer.values["runs"]
    return Runs(folder, promoted, held, dry, broken, changed, store, answer.log)


def few_samples(folder: Path, gates: str) -> None:
    """A task on the demo's samples alone: evaluated on left-out samples, and quick."""
    folder.mkdir(parents=True)
    shutil.copyfile(DEMO / "samples.csv", folder / "samples.csv")
    (folder / "task.yaml").write_text(f"samples: samples.csv\ntune: {{body: 'off'}}\ngates: {{{gates}}}\n", "utf-8")


def test_demo_task_is_promoted(runs: Runs) -> None:
    assert runs.promoted["state"] == "success"
    assert runs.promoted["tasks"] == UNASKED
    assert runs.promoted["pages"] == []
    champion = json.loads((runs.store / "registry" / "support-intents" / "champion.json").read_text("utf-8"))
    assert champion["model"]["key"] == runs.promoted["xcoms"]["export"]["key"]


def test_xcoms_are_references_and_small_numbers(runs: Runs) -> None:
    assert runs.promoted["xcoms"]["choose"] == [{"task": "support-intents", "unlabelled": None}]
    (work,) = runs.promoted["xcoms"]["split"]
    assert work == {"of": runs.promoted["xcoms"]["choose"][0], "shard": 1}
    assert list(runs.promoted["xcoms"]) == [name for name in TASKS if name != "approve"]
    assert runs.promoted["xcoms"]["decide"] == runs.promoted["xcoms"]["publish"] | {"built": True}
    for name in STEPS:
        value = runs.promoted["xcoms"][name]
        assert value["step"] == name
        assert len(json.dumps(value)) < 4096, name


def test_airflow_gives_the_digests_of_the_command_line(runs: Runs, demo_store: Path) -> None:
    for name in STEPS:
        value = runs.promoted["xcoms"][name]
        theirs = [json.loads(path.read_text("utf-8")) for path in demo_store.glob(f"{name}/*/*/manifest.json")]
        assert [(one["key"], one["digest"]) for one in theirs] == [(value["key"], value["digest"])]


def test_manifests_name_airflow_as_the_caller(runs: Runs) -> None:
    built = {name: value for name in STEPS if (value := runs.promoted["xcoms"][name])["built"]}
    assert set(STEPS) - set(built) == {"extract", "publish"}  # which `decide` has built
    for value in built.values():
        assert json.loads(Path(value["path"], "manifest.json").read_text("utf-8"))["caller"] == "airflow"


def test_promotion_is_told_with_its_metrics(runs: Runs) -> None:
    (event,) = runs.promoted["events"]
    assert (event["asset"], event["uri"]) == ("champion-support-intents", "fsat://champion/support-intents")
    assert event["extra"]["version"] == 1
    assert event["extra"]["model"]["digest"] == runs.promoted["xcoms"]["export"]["digest"]
    assert {"accuracy", "macro_f1", "ece"} <= set(event["extra"]["metrics"])


def test_promoted_model_is_kept_with_dvc(runs: Runs) -> None:
    kept = runs.promoted["xcoms"]["snapshot"]
    assert (kept["version"], kept["built"], kept["remote"]) == (1, True, None)
    kept_files = sorted(path.relative_to(runs.repository) for path in runs.repository.glob("published/*/*.dvc"))
    assert kept_files == [Path("published", name, "v1.dvc") for name in ("dry", "support-intents")]  # those that were promoted
    model = runs.repository / "published" / "support-intents" / "v1" / "export" / "model.onnx"
    assert model.read_bytes() == Path(runs.promoted["xcoms"]["export"]["path"], "model.onnx").read_bytes()
    assert kept["commit"] == ["published/support-intents/v1.dvc", "published/support-intents/.gitignore"]


def test_snapshot_is_skipped_with_a_reason_outside_of_a_repository(tmp_path: Path) -> None:
    call = "import fsat_tune_tasks; fsat_tune_tasks.snapshot({'task': 'any'}, {}, params={'dry_run': False})"
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path / "airflow"), "FSAT_DATA": str(tmp_path)}
    environment["PYTHONPATH"] = f"{REPOSITORY / 'dags'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    assert f"AirflowSkipException: FSAT_DATA {tmp_path} lies in no Git repository with DVC" in done.stderr


def test_hold_skips_publish_and_leaves_the_champion(runs: Runs, demo_store: Path) -> None:
    assert runs.held["state"] == "success"
    assert runs.held["tasks"] == UNASKED | NO_POOL | {"publish": "skipped", "snapshot": "skipped"}
    assert runs.held["events"] == []
    assert "publish" not in runs.held["xcoms"]
    champion = Path("registry", "held", "champion.json"), Path("registry", "support-intents", "champion.json")
    assert (runs.store / champion[0]).read_bytes() == (demo_store / champion[1]).read_bytes()


def test_hold_names_the_failed_gates_and_the_report(runs: Runs) -> None:
    said = re.search(r"reason='Held, the champion is unchanged\. (.*) Report: (.*)'", runs.log)
    assert said is not None
    assert re.match(r"accuracy: accuracy on 140 left-out samples: 0\.\d+ < 1[;.]", said[1])
    assert Path(said[2]).is_file()


def test_dry_run_does_everything_but_the_registry(runs: Runs) -> None:
    assert runs.dry["tasks"] == UNASKED | NO_POOL | {"snapshot": "skipped"}
    assert "Dry run: nothing was published." in runs.log
    assert runs.dry["xcoms"]["publish"]["promote"] is True
    assert runs.dry["events"] == []


def test_all_that_changed_are_those_without_a_decision_and_a_bad_one_leaves_the_others_alone(runs: Runs) -> None:
    assert runs.changed["xcoms"]["choose"] == [{"task": name, "unlabelled": None} for name in ("broken", "dry")]
    names = {name: runs.changed["names"][name] for name in ("validate", "validate[1]", "extract[1]", "publish[1]")}
    assert names == {"validate": "broken", "validate[1]": "dry", "extract[1]": "dry", "publish[1]": "dry"}
    assert runs.changed["state"] == "failed"
    assert (runs.changed["tasks"]["validate"], runs.changed["tasks"]["publish"]) == ("failed", "upstream_failed")
    assert {name: runs.changed["tasks"][f"{name}[1]"] for name in STEPS} == dict.fromkeys(STEPS, "success")
    (event,) = runs.changed["events"]
    assert (event["asset"], event["extra"]["version"]) == ("champion-dry", 1)
    history = [(entry["action"], entry["version"]) for entry in Registry(runs.store, "dry").history()]
    assert history == [("promote", 1)]  # the dry run before it has entered nothing


def test_bad_input_ends_the_run_without_a_retry_and_says_what_to_do(runs: Runs) -> None:
    assert runs.broken["state"] == "failed"
    assert runs.broken["tasks"] == dict.fromkeys(TASKS, "upstream_failed") | {"choose": "success", "validate": "failed"}
    assert runs.broken["tries"]["validate"] == 1
    assert re.search(
        r"DataError: \S*samples\.csv: expected a column 'label', got .*\nIn the step validate of the task broken\.", runs.log
    )
    assert re.search(
        r"error +\] validate of broken failed: \S*samples\.csv: expected a column 'label', got .* clear the task\.", runs.log
    )


def test_no_secret_is_in_logs_xcoms_events_or_the_store(runs: Runs) -> None:
    left = json.dumps([runs.promoted, runs.held, runs.dry, runs.broken, runs.changed])
    assert "planted-secret" not in runs.log + left
    assert [path for path in runs.store.rglob("*") if path.is_file() and b"planted-secret" in path.read_bytes()] == []


# ---- approval


@dataclass(frozen=True)
class Asked:
    """Runs of one task with approval, after one another: no, silence, yes, the same model again, and held by a gate."""

    rejected: dict[str, Any]
    timed_out: dict[str, Any]
    approved: dict[str, Any]
    again: dict[str, Any]
    held: dict[str, Any]
    history: list[dict[str, Any]]
    champion: dict[str, Any]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Asked:
    folder = tmp_path_factory.mktemp("asked")
    data, store = folder / "data", folder / "store"
    few_samples(data / "asked", "min_accuracy: 0.0, min_macro_f1: 0.0, min_class_recall: 0.0, max_ece: 1.0")
    few_samples(data / "held", "min_accuracy: 1.0")
    for name, keys in (("asked", "approval: true\napproval_hours: 0.0005\n"), ("held", "")):
        with (data / name / "task.yaml").open("a") as file:
            file.write(keys)
    for step in ("encoder", "encoder-int8", "extract"):
        shutil.copytree(demo_store / step, store / step, copy_function=os.link)
    shutil.copytree(demo_store / "registry" / "support-intents", store / "registry" / "asked")
    confs: list[dict[str, Any]] = [{"answer": "Reject"}, {"answer": "silence"}, {"answer": "Approve"}, {}]
    confs = [{"task": "asked", **conf} for conf in confs]
    answer = ask_airflow(folder, data, store, *confs, {"task": "held", "approval": "yes"})
    registry = store / "registry" / "asked"
    history = [json.loads(line) for line in (registry / "history.jsonl").read_text("utf-8").splitlines()]
    champion = json.loads((registry / "champion.json").read_text("utf-8"))
    rejected, timed_out, approved, again, held = answer.values["runs"]
    return Asked(rejected, timed_out, approved, again, held, history, champion)


def test_person_sees_the_gates_the_figures_beside_the_champions_and_the_report(asked: Asked) -> None:
    (page,) = asked.rejected["pages"]
    assert page["subject"] == "Promote the new model of asked?"
    assert page["defaults"] == ["Reject"]
    assert "| gate | decision | figure | bound | reason |" in page["body"]
    assert "| figure | this model | champion v1 |" in page["body"]
    report = re.search(r"Report\]\(.*\): `(.*)`", page["body"])
    assert report is not None and Path(report[1]).is_file()


@pytest.mark.parametrize(("run", "chosen"), [("rejected", ["Reject"]), ("timed_out", ["Reject"])])
def test_no_and_silence_skip_publish(asked: Asked, run: str, chosen: list[str]) -> None:
    ended = getattr(asked, run)
    assert ended["state"] == "success"
    assert ended["tasks"] == dict.fromkeys(TASKS, "success") | NO_POOL | {"publish": "skipped", "snapshot": "skipped"}
    assert [page["chosen_options"] for page in ended["pages"]] == [chosen]
    assert ended["events"] == []


def test_yes_moves_the_champion_to_the_model_that_was_shown(asked: Asked) -> None:
    assert asked.approved["tasks"] == dict.fromkeys(TASKS, "success") | NO_POOL | {"snapshot": "skipped"}  # in no repository
    assert asked.champion["model"]["key"] == asked.approved["xcoms"]["export"]["key"]
    assert asked.champion["decision"]["key"] == asked.approved["xcoms"]["decide"]["key"]
    (event,) = asked.approved["events"]
    assert event["extra"] == {name: asked.champion[name] for name in ("version", "model", "metrics")}


def test_history_has_the_hold_with_its_reason_and_then_the_promotion(asked: Asked) -> None:
    # the no and the silence are about one decision, which is entered once
    assert [(entry["action"], entry["version"], entry.get("reason")) for entry in asked.history] == [
        ("promote", 1, None),
        ("hold", None, "not approved"),
        ("promote", 2, None),
    ]


def test_nobody_is_asked_about_the_champion_or_a_held_model(asked: Asked) -> None:
    assert asked.again["tasks"] == UNASKED | NO_POOL | {"snapshot": "skipped"}
    assert asked.held["tasks"] == UNASKED | NO_POOL | {"publish": "skipped", "snapshot": "skipped"}
    assert asked.again["pages"] == asked.held["pages"] == []
