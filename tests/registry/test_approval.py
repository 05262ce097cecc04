"""Approval: the page that a person sees, and answers that count only for the decision that was asked about."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import ChampionChangedError, StoreError
from fsat_tasks.quality.gates import all_gates
from fsat_tasks.registry.approval import approval_page, awaits_approval, settle
from fsat_tasks.registry.registry import Registry
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task, load_task
from task_folder import link_encoders, write_task

HOSTILE = "a|b *c* [d](e) <b>f</b> `g` {{ h }}"
TASK = "asked"
TEXTS = {"number": "seven plus two is nine, and not", "travel": "a flight to room"}
PASS = {"min_accuracy": 0.0, "min_macro_f1": 0.0, "min_class_recall": 0.0, "max_ece": 1.0}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Path:
    """A folder with data and a store: one task and its decision to promote. One label has all special characters of Markdown and
    Jinja."""
    folder = tmp_path_factory.mktemp("decided")
    rows = [(f"{text} {number}", label) for label, text in TEXTS.items() for number in ("one", "two", "three", "four")]
    rows += [(text, HOSTILE) for text in ("one", "two plus two", "a flight", "hotel")]  # recall 0: the gate names the label
    write_task(folder / "data" / TASK, csv_bytes(rows), gates=PASS, approval=True)
    link_encoders(demo_store, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_DATA", str(folder / "data"))
        patch.setenv("FSAT_STORE", str(folder / "store"))
        run_steps(load_task(TASK, dry_run=True))
    return folder


@pytest.fixture
def asked(decided: Path, data_root: Path, store_root: Path) -> tuple[Task, Artefact]:
    """A copy of `decided`: the task, and the decision that a person is asked about."""
    shutil.copytree(decided / "data", data_root, dirs_exist_ok=True)
    shutil.copytree(decided / "store", store_root, copy_function=os.link)
    (key,) = (path.name for path in store_root.glob("publish/??/*"))
    published = Store(store_root).find("publish", key)
    assert published is not None
    return load_task(TASK), published


def csv_bytes(rows: list[tuple[str, str]]) -> bytes:
    quoted = ('"' + text.replace('"', '""') + '"' for row in [("text", "label"), *rows] for text in row)
    return "\n".join(",".join(pair) for pair in zip(*[quoted] * 2, strict=True)).encode()


def history(task: Task, root: Path) -> list[tuple[Any, ...]]:
    return [(entry["action"], entry["version"], entry.get("reason")) for entry in Registry(root, task.name).history()]


def test_page_begins_with_the_comparison_and_has_one_line_for_the_gates_that_passed(
    asked: tuple[Task, Artefact], store_root: Path
) -> None:
    task, published = asked
    compared, report, figures, passed, silence = approval_page(task, Store(store_root), published).split("\n\n")
    assert re.fullmatch(r".* the frozen baseline: .* against .* If a person approves it, it becomes version 1\.", compared)
    assert re.fullmatch(rf"\[Report\]\(fsat/reports/{published.key}\) of \d+ \w+ \d+, \d\d:\d\d UTC: `.*/report.html`", report)
    assert figures.splitlines()[0] == "| figure | this model | no champion yet |"
    assert passed.startswith(f"{len(all_gates(published))} gates passed: data checks, accuracy, ")
    assert silence == "No answer within 24 hours counts as a no, and the champion stays."


def test_held_gates_have_their_reasons_whatever_the_labels_are(asked: tuple[Task, Artefact], store_root: Path) -> None:
    task, published = asked
    path = published.path / "decision.json"
    decision = json.loads(path.read_text("utf-8"))
    held = next(gate for gate in decision["gates"] if HOSTILE in gate["reason"])
    held["promote"] = decision["promote"] = False
    path.chmod(0o644)
    path.unlink()  # the file is a link to that of other tests
    path.write_text(json.dumps(decision), "utf-8")
    *_, gates, passed, _ = approval_page(task, Store(store_root), published).split("\n\n")
    assert gates.splitlines()[0] == "| held | reason |"
    assert len(gates.splitlines()) == 3
    assert r"a\|b \*c\* \[d\](e)" in gates
    assert passed.startswith(f"{len(all_gates(published)) - 1} gates passed: ")


def test_nobody_is_asked_where_nobody_has_to_be(asked: tuple[Task, Artefact], store_root: Path) -> None:
    task, published = asked
    store = Store(store_root)
    assert awaits_approval(task, store, published)
    for other in (replace(task, approved=True), replace(task, dry_run=True), load_task(task.name, {"approval": False})):
        assert not awaits_approval(other, store, published)
    settle(task, published.key, replaces=0, approved=True)
    assert not awaits_approval(task, store, published)


def test_answer_is_about_the_decision_that_was_shown(asked: tuple[Task, Artefact], store_root: Path) -> None:
    task, published = asked
    (task.folder / "samples.csv").write_text("text,label\n", "utf-8")  # broken since
    settle(task, published.key, replaces=0, approved=False)
    settle(task, published.key, replaces=0, approved=False)
    assert history(task, store_root) == [("hold", None, "not approved")]
    settle(task, published.key, replaces=0, approved=True)
    assert history(task, store_root) == [("hold", None, "not approved"), ("promote", 1, None)]
    champion = Registry(store_root, task.name).champion()
    assert champion is not None and champion["model"] == published.json("decision.json")["model"]


def test_no_holds_also_where_approval_was_turned_off_since(asked: tuple[Task, Artefact], store_root: Path) -> None:
    task, published = asked
    settle(load_task(task.name, {"approval": False}), published.key, replaces=0, approved=False)
    assert history(task, store_root) == [("hold", None, "not approved")]


def test_yes_does_not_overwrite_a_champion_that_moved_meanwhile(asked: tuple[Task, Artefact], store_root: Path) -> None:
    task, published = asked
    (store_root / "registry" / task.name).mkdir(parents=True)
    model, decision = ({"step": step, "key": "f" * 64, "digest": "f" * 64} for step in ("export", "publish"))
    entry = {
        "action": "promote",
        "version": 3,
        "model": model,
        "decision": decision,
        "metrics": {},
        "time": "2026-11-26T09:00:00+00:00",
    }
    (store_root / "registry" / task.name / "champion.json").write_text(json.dumps(entry), "utf-8")
    (store_root / "registry" / task.name / "history.jsonl").write_text(json.dumps(entry) + "\n", "utf-8")
    with pytest.raises(ChampionChangedError, match=r"was version 0 .* is version 3 now"):
        settle(task, published.key, replaces=0, approved=True)
    assert Registry(store_root, task.name).version() == 3


def test_decision_that_is_gone_is_said(asked: tuple[Task, Artefact]) -> None:
    task, published = asked
    shutil.rmtree(published.path)
    with pytest.raises(StoreError, match=r"expected the decision that was asked about, got none that is whole\. Run the task"):
        settle(task, published.key, replaces=0, approved=True)
