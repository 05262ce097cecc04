"""Moves of the champion by hand: what a version is, where a rollback goes, and that nothing undoes it unasked."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import ChampionChangedError, RegistryError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json

TASK = "task"
Cli = Callable[..., tuple[int, str, str]]
Move = Callable[[], Any]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def build(root: Path, number: int, promote: bool = True) -> tuple[Artefact, Artefact]:
    """Model `number` and the decision about it, whole in the store."""

    def write_model(folder: Path) -> None:
        (folder / "model.onnx").write_text(str(number))

    def write_decision(folder: Path) -> None:
        write_json(folder / "decision.json", {"promote": promote, "metrics": {"accuracy": number / 100}})

    config = {"number": number, "promote": promote}
    return Store(root).build(Recipe("export", 1, config, {}), write_model), Store(root).build(
        Recipe("publish", 1, config, {}), write_decision
    )


def record(root: Path, number: int, promote: bool = True) -> str:
    registry = Registry(root, TASK)
    return registry.record(*build(root, number, promote), registry.version())


def registry_of(root: Path, *numbers: int) -> Registry:
    """A registry into which runs promoted these models."""
    for number in numbers:
        assert record(root, number) == "promoted"
    return Registry(root, TASK)


def actions(root: Path) -> list[tuple[str, int | None]]:
    return [(entry["action"], entry["version"]) for entry in Registry(root, TASK).history()]


def files(root: Path) -> dict[str, bytes]:
    folder = root / "registry" / TASK
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


# Where moves go


def test_rollback_points_to_the_version_before_and_a_second_one_goes_one_further_back(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert registry.rollback(expected=3)["version"] == 2
    assert registry.rollback(expected=2, reason="wrong on refunds")["version"] == 1
    entry = registry.history()[-1]
    assert registry.champion() == entry
    assert (entry["action"], entry["reason"]) == ("rollback", "wrong on refunds")
    assert entry["user"] != ""
    first = registry.history()[0]
    assert [entry[name] for name in ("model", "decision", "metrics")] == [
        first[name] for name in ("model", "decision", "metrics")
    ]
    before = files(tmp_path)
    with pytest.raises(RegistryError, match="expected an earlier version on the promotion path, got none"):
        registry.rollback(expected=1)
    assert files(tmp_path) == before


def test_promotion_after_a_rollback_goes_on_from_the_highest_number_and_back_from_it_past_what_was_rolled_back(
    tmp_path: Path,
) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    registry.rollback(expected=3)
    assert record(tmp_path, 4) == "promoted"
    assert registry.version() == 4
    assert [registry.rollback(expected=version)["version"] for version in (4, 2)] == [2, 1]
    assert [version for _, version in actions(tmp_path)] == [1, 2, 3, 2, 4, 2, 1]


def test_rollback_to_a_version_goes_only_back(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert registry.rollback(expected=3, to=1)["version"] == 1
    before = files(tmp_path)
    assert registry.rollback(expected=3, to=1)["version"] == 1  # said again
    for to in (2, 3, 9):
        with pytest.raises(RegistryError, match=rf"got {to}\. Any version: fsat promote task VERSION"):
            registry.rollback(expected=1, to=to)
    assert files(tmp_path) == before
    assert registry.promote("3", expected=1)["version"] == 3
    with pytest.raises(RegistryError, match=r"on the promotion path: 1, got 2"):
        registry.rollback(expected=3, to=2)


def test_promotion_by_hand_is_undone_by_a_rollback(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert registry.promote("v1", expected=3, reason="calmer")["version"] == 1
    assert registry.history()[-1]["reason"] == "calmer"
    assert registry.rollback(expected=1)["version"] == 3
    assert actions(tmp_path)[-2:] == [("promote", 1), ("rollback", 3)]


def test_held_model_gets_its_number_by_its_first_promotion(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1)
    assert record(tmp_path, 2, promote=False) == "held"
    key = registry.history()[-1]["model"]["key"]
    entry = registry.promote(key[:8], expected=1)
    assert (entry["version"], entry["metrics"]) == (2, {"accuracy": 0.02})
    assert record(tmp_path, 2, promote=False) == "held"  # the gates still say so; the champion is whom a person chose
    assert registry.rollback(expected=2)["version"] == 1
    assert registry.promote(key, expected=1)["version"] == 2
    assert actions(tmp_path) == [("promote", 1), ("hold", None), ("promote", 2), ("rollback", 1), ("promote", 2)]


def test_promotion_of_the_champion_changes_nothing(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    before = files(tmp_path)
    assert registry.promote("2", expected=1)["version"] == 2
    assert files(tmp_path) == before


def test_move_is_refused_where_another_version_is_the_champion(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    before = files(tmp_path)
    moves: list[Move] = [lambda: registry.promote("1", expected=2), lambda: registry.rollback(expected=2)]
    for move in moves:
        with pytest.raises(ChampionChangedError, match="the champion is version 3 now and not 2; nothing was moved"):
            move()
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["0", "4", "v9", "abcdefab", "x", "", "-1", "../1", "1 ", "DEADBEEF"])
def test_model_that_is_not_in_the_history_is_named(name: str, tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    before = files(tmp_path)
    with pytest.raises(RegistryError, match=r"model '.*' of task 'task': expected .* fsat history task"):
        registry.promote(name, expected=3)
    assert files(tmp_path) == before


def test_key_prefix_of_two_models_is_refused(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    path = tmp_path / "registry" / TASK / "history.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in entries:
        entry["model"]["key"] = "abcdef00" + entry["model"]["key"][8:]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with pytest.raises(RegistryError, match="expected the beginning of one model's key, got that of 2"):
        registry.find("abcdef00")
    assert registry.find(entries[0]["model"]["key"])["version"] == 1


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_model_whose_files_are_not_those_published_is_refused_and_nothing_changes(damage: str, tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    path = build(tmp_path, 1)[0].path / "model.onnx"
    path.unlink() if damage == "missing" else path.write_text("another")
    before = files(tmp_path)
    moves: list[Move] = [lambda: registry.promote("1", expected=2), lambda: registry.rollback(expected=2)]
    for move in moves:
        with pytest.raises(RegistryError, match="expected the files that were published, got missing or altered ones"):
            move()
    assert files(tmp_path) == before


def test_move_in_a_task_without_a_history_makes_no_folder(tmp_path: Path) -> None:
    moves: list[Move] = [lambda: Registry(tmp_path, TASK).promote("1", 0), lambda: Registry(tmp_path, TASK).rollback(0)]
    for move in moves:
        with pytest.raises(RegistryError, match=r"expected a model in its history, got none yet"):
            move()
    assert list(tmp_path.iterdir()) == []


# What a run does after a move by hand


def test_run_on_unchanged_data_does_not_undo_a_rollback(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    registry.rollback(expected=3)
    before = files(tmp_path)
    for number in (3, 3, 1):
        assert record(tmp_path, number) == "kept"
    assert record(tmp_path, 2) == "unchanged"
    assert registry.record(*build(tmp_path, 3), replaces=3) == "kept"  # judged before the rollback, recorded after it
    assert files(tmp_path) == before


def test_rollback_holds_until_a_new_model_is_promoted(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    registry.rollback(expected=2)
    assert record(tmp_path, 3, promote=False) == "held"
    assert record(tmp_path, 2) == "kept"
    assert record(tmp_path, 4) == "promoted"
    assert registry.version() == 3
    assert record(tmp_path, 2) == "promoted"  # the data went back, and the gates say yes
    assert registry.version() == 2


def test_run_on_unchanged_data_does_not_undo_a_promotion_by_hand(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    registry.promote("1", expected=2)
    assert record(tmp_path, 2) == "kept"
    assert registry.version() == 1


def test_hold_that_was_said_before_a_move_is_not_said_again(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    record(tmp_path, 3, promote=False)
    registry.rollback(expected=2)
    before = files(tmp_path)
    assert record(tmp_path, 3, promote=False) == "held"
    assert files(tmp_path) == before


# Killed, and at the same time

DIE = """
import os, signal, sys
from pathlib import Path
from fsat_tasks.registry import registry
root, move, where = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def half_a_line(self, entry):
    with (self.folder / "history.jsonl").open("ab") as file:
        file.write(registry.canonical_json(entry).encode()[:50])
    die()
def half_a_file(path, entry):
    path.write_text('{"action": ')
    die()
if where == "in the line":
    registry.Registry._append = half_a_line
elif where == "before the pointer":
    registry.Registry._point_to = die
else:
    registry.write_json = half_a_file
ours = registry.Registry(root, "task")
ours.rollback(3) if move == "rollback" else ours.promote("1", 3)
"""


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("where", ["in the line", "before the pointer", "in the pointer"])
@pytest.mark.parametrize(("move", "to"), [("rollback", 2), ("promote", 1)])
def test_killed_move_leaves_a_registry_that_reads_well_and_is_made_or_finished_once(
    move: str, to: int, where: str, tmp_path: Path
) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert run(DIE, tmp_path, move, where).wait(60) == -signal.SIGKILL
    written = [] if where == "in the line" else [(move, to)]
    assert registry.version() == 3  # serves on
    assert actions(tmp_path) == [("promote", 1), ("promote", 2), ("promote", 3), *written]
    again = registry.rollback(3, to=2) if move == "rollback" else registry.promote("1", 3)
    assert again["version"] == to
    assert registry.champion() == registry.history()[-1]
    assert actions(tmp_path) == [("promote", 1), ("promote", 2), ("promote", 3), (move, to)]


def test_killed_rollback_that_is_said_again_does_not_go_two_versions_back(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    run(DIE, tmp_path, "rollback", "before the pointer").wait(60)
    with pytest.raises(ChampionChangedError, match="the champion is version 2 now and not 3"):
        registry.rollback(expected=registry.version())
    assert registry.version() == 2


def test_run_after_a_killed_rollback_finishes_it_and_keeps_it(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    run(DIE, tmp_path, "rollback", "before the pointer").wait(60)
    assert record(tmp_path, 3) == "kept"
    assert registry.version() == 2


def test_lost_pointer_comes_back_from_the_history(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    registry.rollback(expected=3)
    pointer = tmp_path / "registry" / TASK / "champion.json"
    before = pointer.read_bytes()
    pointer.unlink()
    assert record(tmp_path, 3) == "kept"
    assert pointer.read_bytes() == before


BACK_AND_FORTH = """
import sys
from pathlib import Path
from fsat_tasks.registry.registry import Registry
ours = Registry(Path(sys.argv[1]), "task")
print("ready", flush=True)
while True:
    ours.rollback(ours.version())
    ours.promote("3", ours.version())
"""


def test_process_killed_at_any_moment_leaves_a_registry_that_reads_well(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    wait = random.Random(0)
    for _ in range(10):
        registry.promote("3", registry.version()) if registry.version() != 3 else None
        process = run(BACK_AND_FORTH, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait.uniform(0, 0.1))
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        history, champion = registry.history(), registry.champion()
        assert champion in history
        assert record(tmp_path, 1) in ("kept", "unchanged", "promoted")
        assert registry.champion() == registry.history()[-1]
    assert len(registry.history()) > 23


PUBLISH = """
import sys
from pathlib import Path
from fsat_tasks.errors import ChampionChangedError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Store
root, by_hand = Path(sys.argv[1]), sys.argv[2] == "by hand"
ours, store = Registry(root, "task"), Store(root)
def insist(move):
    while True:
        try:
            return move(ours.version())
        except ChampionChangedError:
            pass  # another was between our look and our turn
print("ready", flush=True)
sys.stdin.readline()
for pair in sys.argv[3:]:
    model, decision = (store.find(step, key) for step, key in zip(("export", "publish"), pair.split(":")))
    assert insist(lambda version: ours.record(model, decision, version)) == "promoted"
    if by_hand:
        insist(lambda version: ours.rollback(version) if version > 1 else None)
print("done")
"""


def test_sixteen_processes_that_publish_at_once_lose_nothing(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 0)
    processes = []
    for number in range(16):
        pairs = [":".join(made.key for made in build(tmp_path, 1 + 3 * number + i)) for i in range(3)]
        processes.append(run(PUBLISH, tmp_path, "by hand" if number % 4 == 0 else "runs", *pairs))
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    while any(process.poll() is None for process in processes):  # a reader never sees anything half-done
        champion, history = registry.champion(), registry.history()
        assert champion is not None
        assert champion in history or champion in registry.history()
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 16
    lines = (tmp_path / "registry" / TASK / "history.jsonl").read_bytes().split(b"\n")
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == b""
    runs = [entry for entry in entries if entry["action"] == "promote"]
    assert [entry["version"] for entry in runs] == list(range(1, 50))  # no number twice, none left out, in order
    assert {entry["model"]["key"] for entry in runs} == {build(tmp_path, number)[0].key for number in range(49)}
    assert sum(entry["action"] == "rollback" for entry in entries) == 4 * 3
    assert len(entries) == 49 + 12
    assert registry.champion() == entries[-1]


# The verbs


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
        ["v1", "promote", "0.010"],
        ["v2", "promote", "0.020"],
        ["v3", "promote", "0.030"],
        ["-", "hold", "0.040"],
        ["v2", "rollback", "0.020"],
        ["v1", "rollback", "0.010"],
        ["v4", "promote", "0.040"],
    ]
    assert rows[4][5].endswith(": wrong on [refunds]")
    assert [rows[0][5], rows[3][4]] == ["the gates", key[:12]]
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
    """A model that gives every text a wrong label, and of which no more is known."""

    def write(folder: Path) -> None:
        shutil.copytree(model.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        config = model.json("config.json")
        write_json(folder / "config.json", config | {"labels": config["labels"][1:] + config["labels"][:1]})

    return Store(root).build(Recipe("export", 1, {}, {"model": model.digest}), write)


def test_run_of_the_demo_after_a_rollback_says_what_holds(demo_copy: Path, cli: Cli, fsat: Run) -> None:
    from fsat_tasks.registry.champion import champion_model

    task = "support-intents"
    demo = champion_model(task)
    registry = Registry(demo_copy, task)
    registry.record(worse(demo, demo_copy), build(demo_copy, 7)[1], registry.version())
    assert cli("promote", task, "1")[0] == 0
    assert cli("rollback", task)[0] == 0
    result = fsat("run", task, store=demo_copy)
    assert result.returncode == 0
    assert "version 2 stays the champion: a person moved it there, which holds until a new model is promoted" in result.stderr
    assert f"To have this one: fsat promote {task} 1" in result.stderr
    assert "champion: version 2, which is not this model" in result.stdout
    assert cli("promote", task, demo.key[:8])[1] == f"{task}: the champion is version 1, was version 2.\n"
    assert champion_model(task).key == demo.key
