"""Approval in the DAG fsat_tune: a person is asked, and the answer counts. Airflow itself runs in airflow_process.py."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tune_call import NO_POOL, OPEN_GATES, TASKS, UNASKED, ask_airflow, copy_extracted, few_samples


@dataclass(frozen=True)
class Asked:
    """Runs of one task with approval, one after another: a test run, no, no answer, yes, the same model again, held by a gate."""

    test: dict[str, Any]
    rejected: dict[str, Any]
    timed_out: dict[str, Any]
    approved: dict[str, Any]
    again: dict[str, Any]
    held: dict[str, Any]
    history: list[dict[str, Any]]
    champion: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Asked:
    folder = tmp_path_factory.mktemp("asked")
    data, store = folder / "data", folder / "store"
    few_samples(data / "asked", OPEN_GATES, "approval: true\napproval_hours: 0.0005\n")
    few_samples(data / "held", "min_accuracy: 1.0")
    copy_extracted(demo_store, store, "asked")
    confs: list[dict[str, Any]] = [{}, {"answer": "Reject"}, {"answer": "silence"}, {"answer": "Approve"}, {}]
    confs = [{"task": "asked", **conf} for conf in confs]
    answer = ask_airflow(folder, data, store, *confs, {"task": "held", "approval": "yes"})
    registry = store / "registry" / "asked"
    history = [json.loads(line) for line in (registry / "history.jsonl").read_text("utf-8").splitlines()]
    champion = json.loads((registry / "champion.json").read_text("utf-8"))
    test, rejected, timed_out, approved, again, held = answer.values["runs"]
    return Asked(test, rejected, timed_out, approved, again, held, history, champion, answer.log)


def test_a_test_run_asks_nobody_and_says_how_to_promote_the_model_that_it_holds(asked: Asked) -> None:
    assert asked.test["state"] == "success"
    assert asked.test["tasks"] == UNASKED | NO_POOL | {"publish": "skipped", "snapshot": "skipped"}
    assert asked.test["pages"] == asked.test["events"] == []
    conf = '{"task": "asked", "approval": "no"}'
    said = f"Nobody can be asked in a test run, so the model is held. To promote it, test with the conf {conf}"
    assert f"{said}, or call: fsat run asked --approve" in asked.log


def test_person_sees_the_comparison_the_report_and_the_figures_beside_the_champions(asked: Asked) -> None:
    (page,) = asked.rejected["pages"]
    assert page["subject"] == "Promote the new model of asked?"
    assert page["defaults"] == ["Reject"]
    assert " gates passed: data checks, " in page["body"]
    assert "| figure | this model | champion v1 |" in page["body"]
    report = re.search(r"Report\]\(.*\) of .* UTC: `(.*)`", page["body"])
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
