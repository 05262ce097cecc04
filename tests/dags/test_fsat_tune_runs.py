"""Runs of the DAG fsat_tune, and what they leave behind. Airflow itself runs in airflow_process.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_call import call_airflow
from fsat_tasks.registry.registry import Registry
from tune_call import DEMO, NO_POOL, OPEN_GATES, STEPS, TASKS, UNASKED, ask_airflow, call_dags, copy_extracted, few_samples


@dataclass(frozen=True)
class Runs:
    """One run each of four tasks in the same store, and then one run of all tasks that changed: `broken`, `dry` and `lost`.

    The data of `broken` is bad, and `lost` names an encoder that is not on this machine.

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
    few_samples(data / "dry", OPEN_GATES)
    few_samples(data / "broken", "")
    (data / "broken" / "samples.csv").write_text("text,intent\nmy card is gone,card_lost\n", "utf-8")
    few_samples(data / "lost", OPEN_GATES, "encoder: {name: org/nowhere}\n")
    copy_extracted(demo_store, store, "held")
    confs: list[dict[str, Any]] = [{"task": "support-intents"}, {"task": "held"}, {"task": "dry", "dry_run": True}]
    confs += [{"task": "broken"}, {"task": "*", "dry_run": False}]  # in one process a run's params are left for the next
    answer = ask_airflow(folder, data, store, *confs)
    promoted, held, dry, broken, changed = answer.values["runs"]
    return Runs(folder, promoted, held, dry, broken, changed, store, answer.log)


def test_demo_task_is_promoted(runs: Runs) -> None:
    assert runs.promoted["state"] == "success"
    assert runs.promoted["tasks"] == UNASKED
    assert runs.promoted["pages"] == []
    champion = json.loads((runs.store / "registry" / "support-intents" / "champion.json").read_text("utf-8"))
    assert champion["model"]["key"] == runs.promoted["xcoms"]["export"]["key"]


def test_xcoms_are_references_and_small_numbers(runs: Runs) -> None:
    assert runs.promoted["xcoms"]["choose"] == [{"task": "support-intents", "unlabelled": None}]
    (work,) = runs.promoted["xcoms"]["split"]
    assert work == {"chosen": runs.promoted["xcoms"]["choose"][0], "shard": 1}
    assert list(runs.promoted["xcoms"]) == [name for name in TASKS if name != "approve"]
    chosen = {"chosen": runs.promoted["xcoms"]["choose"][0]}
    assert runs.promoted["xcoms"]["decide"] == runs.promoted["xcoms"]["publish"] | chosen | {"built": True, "replaces": 0}
    for name in STEPS:
        value = runs.promoted["xcoms"][name]
        assert value["step"] == name
        assert len(json.dumps(value)) < 4096, name


def test_each_task_has_one_xcom_and_decide_the_link_to_its_report(runs: Runs) -> None:
    for run in (runs.promoted, runs.held, runs.dry, runs.broken, runs.changed):
        links = [[name, key] for name, key in run["keys"] if key != "return_value"]
        assert links == [[name, "_link_ReportLink"] for name in run["xcoms"] if name.startswith("decide")]
        assert len(run["keys"]) == len(run["xcoms"]) + len(links)


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
    call = "from fsat_dags import tune_tasks; tune_tasks.snapshot.function({'task': 'any'}, {}, {'dry_run': False})"
    said = call_dags(call, tmp_path / "airflow", FSAT_DATA=str(tmp_path))
    assert f"AirflowSkipException: FSAT_DATA {tmp_path} lies in no Git repository with DVC" in said


def test_event_is_sent_by_the_run_that_promoted_alone(tmp_path: Path, demo_copy: Path) -> None:
    cases = {
        "a run that changes nothing": (1, 1),
        "its second try": (1, 2),
        "a run whose model another run has promoted since it was judged": (0, 1),
        "a try after one that was killed between the promotion and the event": (0, 2),
    }
    sent = call_airflow("publish_process.py", tmp_path, DEMO.parent, demo_copy, DEMO.name, list(cases.values())).values["sent"]
    event = {"asset": "champion-support-intents", "version": 1}
    assert dict(zip(cases, sent, strict=True)) == dict(zip(cases, ([], [], [], [event]), strict=True))


def test_hold_skips_publish_and_leaves_the_champion(runs: Runs, demo_store: Path) -> None:
    assert runs.held["state"] == "success"
    assert runs.held["tasks"] == UNASKED | NO_POOL | {"publish": "skipped", "snapshot": "skipped"}
    assert runs.held["events"] == []
    assert "publish" not in runs.held["xcoms"]
    champion = Path("registry", "held", "champion.json"), Path("registry", "support-intents", "champion.json")
    assert (runs.store / champion[0]).read_bytes() == (demo_store / champion[1]).read_bytes()


def test_hold_names_the_failed_gates_and_the_report(runs: Runs) -> None:
    said = re.search(r"""reason=['"]Held, the champion is unchanged\. (.*) Report: (.*)['"]""", runs.log)
    assert said is not None
    figure = r"accuracy: \d\d\.\d % of the 42 left-out samples get the right label"
    assert re.match(figure + r", \d{1,2}\.\d points short of the 100 % required[;.]", said[1])
    assert Path(said[2]).is_file()


def test_dry_run_does_everything_but_the_registry(runs: Runs) -> None:
    assert runs.dry["tasks"] == UNASKED | NO_POOL | {"snapshot": "skipped"}
    assert "Dry run: nothing was published." in runs.log
    assert runs.dry["xcoms"]["publish"]["promote"] is True
    assert runs.dry["events"] == []


def test_all_that_changed_are_those_without_a_decision_and_a_bad_one_leaves_the_others_alone(runs: Runs) -> None:
    assert runs.changed["xcoms"]["choose"] == [{"task": name, "unlabelled": None} for name in ("broken", "dry", "lost")]
    names = {name: runs.changed["names"][name] for name in ("validate", "validate[1]", "extract[1]", "publish[1]")}
    assert names == {"validate": "broken", "validate[1]": "dry", "extract[1]": "dry", "publish[1]": "dry"}
    assert runs.changed["state"] == "failed"
    assert (runs.changed["tasks"]["validate"], runs.changed["tasks"]["publish"]) == ("failed", "upstream_failed")
    assert {name: runs.changed["tasks"][f"{name}[1]"] for name in STEPS} == dict.fromkeys(STEPS, "success")
    assert [runs.changed["tasks"][f"{name}[2]"] for name in ("validate", "extract", "tune")] == [
        "success",
        "failed",
        "upstream_failed",
    ]
    (event,) = runs.changed["events"]
    assert (event["asset"], event["extra"]["version"]) == ("champion-dry", 1)
    history = [(entry["action"], entry["version"]) for entry in Registry(runs.store, "dry").history()]
    assert history == [("promote", 1)]  # the dry run before it has entered nothing


def test_encoding_for_a_task_with_bad_input_is_skipped_so_that_no_other_task_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    os.mkfifo(tmp_path / "bad" / "task.yaml")
    work = {"chosen": {"task": "bad", "unlabelled": None}, "shard": 0}
    params = dict.fromkeys(("shots", "encoder", "seed", "device", "approval")) | {"dry_run": False}
    call = f"from fsat_dags import tune_tasks; tune_tasks.encode.function({work}, {params})"
    said = call_dags(call, tmp_path / "airflow", FSAT_DATA=str(tmp_path), FSAT_STORE=str(tmp_path / "store"))
    assert f"AirflowSkipException: {tmp_path / 'bad' / 'task.yaml'}: expected a file that can be read, got a pipe" in said


def test_bad_input_ends_the_run_without_a_retry_and_says_what_to_do(runs: Runs) -> None:
    assert runs.broken["state"] == "failed"
    assert runs.broken["tasks"] == dict.fromkeys(TASKS, "upstream_failed") | {"choose": "success", "validate": "failed"}
    assert runs.broken["tries"]["validate"] == 1
    assert re.search(
        r"ColumnError: \S*samples\.csv: expected a column 'label', got .*\nIn the step validate of the task broken\.", runs.log
    )
    assert re.search(
        r"error +\] validate of broken failed: \S*samples\.csv: expected a column 'label', got .* clear the task\.", runs.log
    )


def test_no_secret_is_in_logs_xcoms_events_or_the_store(runs: Runs) -> None:
    left = json.dumps([runs.promoted, runs.held, runs.dry, runs.broken, runs.changed])
    assert "planted-secret" not in runs.log + left
    assert [path for path in runs.store.rglob("*") if path.is_file() and b"planted-secret" in path.read_bytes()] == []
