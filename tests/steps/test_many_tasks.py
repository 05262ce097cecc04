"""Several tasks in one process, and those of them that are not done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.errors import TaskError
from fsat_tasks.steps.changed import changed_tasks, is_done
from fsat_tasks.steps.many_tasks import run_many, worst_exit_code
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task, load_task
from json_result import result

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]
Rows = list[tuple[str, str]]

TASK = "support-intents"


def tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.fixture
def three(make_task: MakeTask, encoder_store: Path, toy_rows: Rows) -> list[str]:
    """A task whose model is promoted, one with bad input, and one whose model is held."""
    gates = {"min_accuracy": 0.0, "min_macro_f1": 0.0, "min_class_recall": 0.0, "max_ece": 1.0}
    return [
        make_task(toy_rows, gates=gates),
        make_task([*toy_rows, ("", "travel")], gates=gates),
        make_task(toy_rows[:-1], gates=gates | {"max_parity_error": 1e-12}),
    ]


def test_a_task_that_stops_or_is_held_does_not_stop_the_next(three: list[str], cli: Cli) -> None:
    good, bad, held = three
    code, out, err = cli("run", bad, good, held, good)
    assert code == 2, err
    lines = [line.split() for line in out.splitlines()]
    assert [(line[0], line[1]) for line in lines[:-2]] == [(bad, "bad"), (good, "done"), (held, "held")]
    assert "samples.csv, line 14" in out
    assert "onnx_parity" in out.splitlines()[2]
    assert out.splitlines()[-2:] == ["3 tasks: 1 bad input, 1 done, 1 held", "To see what held them: fsat status"]

    assert changed_tasks() == [bad]  # a model that is held is a result
    assert changed_tasks([held, "missing", good]) == ["missing"]
    assert changed_tasks([good], lambda name: load_task(name, {"seed": 1})) == [good]
    code, out, _ = cli("run", held, good, "--json")
    found = result(out)["tasks"]
    assert (code, [(one["task"], one["outcome"]) for one in found]) == (3, [(held, "held"), (good, "unchanged")])
    assert found[0]["next"][0]["command"] == f"fsat open {held}"
    assert set(found[1]["steps"]) == {"validate", "extract", "tune", "evaluate", "export", "publish"}
    code, out, _ = cli("run", "--changed", "--json")
    (one,) = result(out)["tasks"]
    assert (code, one["task"], one["error"]["kind"], one["next"]) == (2, bad, "DataError", [])


def test_whatever_is_wrong_with_a_task_the_others_go_on(make_task: MakeTask, toy_rows: Rows, cli: Cli, data_root: Path) -> None:
    names = [make_task(toy_rows) for _ in range(4)]
    for name, content in zip(names, (b"seed: !!int abc", b'samples: "a\\ud800.csv"', b"\xff", b""), strict=True):
        (data_root / name / "task.yaml").write_bytes(content)
    (data_root / "pipe").mkdir()
    os.mkfifo(data_root / "pipe" / "task.yaml")
    for arguments in (["--changed"], ["pipe", *names]):
        code, out, err = cli("run", *arguments, "--json")
        found = {one["task"]: one for one in result(out)["tasks"]}
        assert (code, set(found), err) == (2, {"pipe", *names}, "")
        for name in found:
            assert found[name]["outcome"] == "bad input"
            assert found[name]["error"]["where"].startswith(f"{data_root / name / 'task.yaml'}")


def test_mistake_in_fsat_fails_one_task_and_is_named(store_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    def load(name: str) -> Task:
        if name == "bad":
            raise TaskError("here", "this", "that")
        raise MemoryError if name == "large" else ZeroDivisionError("division by zero")

    names = ["crash", "bad", "large"]
    outcomes = run_many(names, load, lambda _: None, Store(store_root))
    assert [(outcome.task, outcome.exit_code, outcome.name) for outcome in outcomes] == [
        ("crash", 1, "failed"),
        ("bad", 2, "bad input"),
        ("large", 1, "failed"),
    ]
    assert [outcome.error for outcome in outcomes] == [
        "ZeroDivisionError: division by zero",
        "here: expected this, got that.",
        "MemoryError",
    ]
    assert worst_exit_code(outcomes[:1]) == 1
    assert changed_tasks(names, load) == names
    assert "crash: cannot tell whether it has changed: ZeroDivisionError: division by zero" in caplog.text


def test_nothing_changed_is_a_run_of_no_task(demo_copy: Path, cli: Cli) -> None:
    assert cli("run", "--changed", TASK) == (0, "nothing to do: no task has changed\n", "")


def test_asking_what_has_changed_changes_nothing(demo_copy: Path) -> None:
    before = tree(demo_copy)
    task = load_task(TASK)
    assert is_done(task)
    assert not is_done(load_task(TASK, {"shots": 3}))
    assert tree(demo_copy) == before


@pytest.mark.parametrize("step", ["validate", "extract", "encoder", "tune", "evaluate", "export", "publish"])
def test_a_task_is_not_done_where_any_artefact_is_missing_or_cut_off(demo_copy: Path, step: str) -> None:
    (manifest,) = demo_copy.glob(f"{step}/*/*/manifest.json")
    path = next(path for path in sorted(manifest.parent.iterdir()) if path != manifest)
    content = path.read_bytes()
    path.unlink()  # it may be a link to another test's file
    path.write_bytes(content[:-1])
    assert not is_done(load_task(TASK))
    path.write_bytes(content)
    assert is_done(load_task(TASK))
    shutil.rmtree(manifest.parent)
    assert not is_done(load_task(TASK))


def test_several_tasks_have_no_one_folder_to_be_copied_to(three: list[str], cli: Cli, tmp_path: Path) -> None:
    assert cli("run", *three, "--out", str(tmp_path / "out"))[0] == 2
    code, _, err = cli("run")
    assert (code, "expected the name of a task, or --changed, got neither" in err) == (2, True)
