"""Several tasks in one process, and those of them that are not done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.steps.changed import changed_tasks, is_done
from fsat_tasks.tasks.task import load_task

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
    assert [(line[0], line[1]) for line in lines[:-1]] == [(bad, "bad"), (good, "done"), (held, "held")]
    assert "samples.csv, line 14" in out
    assert "onnx_parity" in out.splitlines()[2]
    assert out.splitlines()[-1] == "3 tasks: 1 bad input, 1 done, 1 held"

    assert changed_tasks() == [bad]  # a model that is held is a result
    assert changed_tasks([held, "missing", good]) == ["missing"]
    assert changed_tasks([good], lambda name: load_task(name, {"seed": 1})) == [good]
    code, out, _ = cli("run", held, good, "--json")
    found = json.loads(out)
    assert (code, [found[name]["outcome"] for name in (held, good)]) == (3, ["held", "unchanged"])
    assert set(found[good]["steps"]) == {"validate", "extract", "tune", "evaluate", "export", "publish"}
    code, out, _ = cli("run", "--changed", "--json")
    assert (code, list(json.loads(out)), bool(json.loads(out)[bad]["error"])) == (2, [bad], True)


def test_nothing_changed_is_a_run_of_no_task(demo_copy: Path, cli: Cli) -> None:
    assert cli("run", "--changed", TASK) == (0, "0 tasks, none changed\n", "")


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
