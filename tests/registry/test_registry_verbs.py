"""The verbs promote, rollback and history move the champion and say so."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
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
    assert cli("rollback", TASK, "--reason", "wrong\non [refunds]") == (
        0,
        "task: the champion is version 2, was version 3.\n",
        "",
    )
    assert cli("rollback", TASK, "--to", "1")[1] == "task: the champion is version 1, was version 2.\n"
    assert cli("promote", TASK, "1")[1] == "task: the champion is version 1 already.\n"
    key = Registry(moved, TASK).history()[3]["model"]["key"]
    assert cli("promote", TASK, key[:12], "--expected", "1")[1] == "task: the champion is version 4, was version 1.\n"
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
    assert [row[1:4] for row in rows] == [
        ["v1", "promote", "1.0 %"],
        ["v2", "promote", "2.0 %"],
        ["v3", "promote", "3.0 %"],
        ["-", "hold", "4.0 %"],
        ["v2", "rollback", "2.0 %"],
        ["v1", "rollback", "1.0 %"],
        ["v4", "promote", "4.0 %"],
    ]
    assert rows[4][5].endswith(": wrong on [refunds]")
    assert [rows[0][5], rows[3][4]] == ["the gates", key[:8]]
    assert "champion: version 4" in out
    assert json.loads(cli("history", TASK, "--json")[1]) == Registry(moved, TASK).history()
    assert json.loads(cli("status", "--json")[1]) == []


def test_history_of_a_task_without_one_is_empty_and_a_mistyped_name_is_said(
    store_root: Path, make_task: Callable[..., str], cli: Cli
) -> None:
    name = make_task([("a", "b")])
    assert cli("history", name, "--json")[:2] == (0, "[]\n")
    assert "champion: none yet" in cli("history", name)[1]
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
    result = fsat("run", task, store=demo_copy)
    assert result.returncode == 0
    assert "version 2 stays the champion: a person chose it" in result.stderr
    assert f"To make it the champion: fsat promote {task} 1" in result.stderr
    assert "champion: version 2, which is not this model" in result.stdout
    assert cli("promote", task, demo.key[:8])[1] == f"{task}: the champion is version 1, was version 2.\n"
    assert champion_model(task).key == demo.key
