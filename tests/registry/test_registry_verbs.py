"""The verbs promote, rollback and history move the champion and say so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from json_result import result
from promoted_models import TASK, build, record, registry_of

Cli = Callable[..., tuple[int, str, str]]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def moved(store_root: Path, data_root: Path) -> Path:
    """A store with three versions and a held model; FSAT_STORE names it."""
    registry_of(store_root, 1, 2, 3)
    record(store_root, 4, promote=False)
    return store_root


def test_verbs_move_the_champion_and_say_so(moved: Path, cli: Cli) -> None:
    code, out, err = cli("rollback", TASK, "--reason", "wrong\non [refunds]")
    assert (code, err, out.splitlines()) == (
        0,
        "",
        [
            "task: the champion is version 2, was version 3.",
            "  fsat diff task 3 2   # see what differs from version 3",
            "  fsat promote task 3  # undo it",
        ],
    )
    assert "task: the champion is version 1, was version 2." in cli("rollback", TASK, "--to", "1")[1]
    assert "task: the champion is version 1 already." in cli("promote", TASK, "1")[1]
    key = Registry(moved, TASK).history()[3]["model"]["key"]
    letters = next(key[:some] for some in range(4, 64) if not key[:some].isdigit())  # digits alone are a version
    moved_by = result(cli("promote", TASK, letters, "--expected", "1", "--json")[1])
    assert (moved_by["before"], moved_by["champion"]["version"]) == (1, 4)
    assert moved_by["next"][1] == {"command": "fsat promote task 1", "for": "undo it"}
    code, out, err = cli("promote", TASK, "2", "--expected", "1")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "the champion is version 4 now and not 1" in err
    for arguments in (("promote", TASK, "9"), ("promote", "nowhere", "1"), ("rollback", "../x"), ("rollback", TASK, "--to", "9")):
        code, out, err = cli(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
    assert cli("promote", TASK, "2", "--reason", "caf\udce9")[2] == "fsat: --reason: expected UTF-8, got bytes that are not.\n"
    assert Registry(moved, TASK).version() == 4

    code, out, _ = cli("history", TASK)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert code == 0
    assert [[row[1].split()[0], *row[2:4]] for row in rows] == [
        ["v1", "promote", "accuracy 1.0 %"],
        ["v2", "promote", "accuracy 2.0 %"],
        ["v3", "promote", "accuracy 3.0 %"],
        ["-", "hold", "accuracy 4.0 %"],
        ["v2", "rollback", "accuracy 2.0 %"],
        ["v1", "rollback", "accuracy 1.0 %"],
        ["v4", "promote", "accuracy 4.0 %"],
    ]
    assert rows[4][4].endswith(": wrong on [refunds]")
    assert [rows[0][4], rows[3][1]] == ["the gates", f"-   {key[:8]}"]
    assert "The newest model is the champion, version 4." in out
    assert result(cli("history", TASK, "--json")[1])["entries"] == Registry(moved, TASK).history()
    assert result(cli("status", "--json")[1]) == {"tasks": []}


def test_history_of_a_task_without_one_is_empty_and_a_mistyped_name_is_said(
    store_root: Path, make_task: Callable[..., str], cli: Cli
) -> None:
    name = make_task([("a", "b")])
    assert result(cli("history", name, "--json")[1])["entries"] == []
    assert cli("history", name)[1].splitlines()[-2:] == ["There is no model yet.", f"  fsat run {name}  # make one"]
    code, _, err = cli("history", "nowhere")
    assert (code, err.startswith("fsat: task 'nowhere': expected a folder with a task.yaml")) == (2, True)


def worse(model: Artefact, root: Path) -> Artefact:
    """Make a copy of the model with shifted labels, which gives every text a wrong one. Its lineage is lost."""

    def write(folder: Path) -> None:
        shutil.copytree(model.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        config = model.json("config.json")
        write_json(folder / "config.json", config | {"labels": config["labels"][1:] + config["labels"][:1]})

    return Store(root).build(Recipe("export", 1, {}, {"model": model.digest}), write)


def test_run_of_the_demo_after_a_rollback_says_what_holds(demo_copy: Path, cli: Cli, fsat: Run) -> None:
    from fsat_tasks.registry.champion_files import champion_model

    task = "support-intents"
    demo = champion_model(task)
    registry = Registry(demo_copy, task)
    registry.record(worse(demo, demo_copy), build(demo_copy, 7)[1], registry.version())
    assert cli("promote", task, "1")[0] == 0
    assert cli("rollback", task)[0] == 0
    ran = fsat("run", task, store=demo_copy)
    assert ran.returncode == 0
    assert "All gates passed, but version 2 stays the champion, because a person chose it" in ran.stdout
    assert f"  fsat promote {task} {demo.key[:8]} " in ran.stdout
    assert f"{task}: the champion is version 1, was version 2." in cli("promote", task, demo.key[:8])[1]
    assert champion_model(task).key == demo.key
