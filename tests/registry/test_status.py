"""The status of tasks: published models and their folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from fsat_tasks.quality.gates import GateDecision
from fsat_tasks.registry.registry import Registry
from fsat_tasks.registry.status import task_status
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.workspace import Workspace
from json_result import result
from task_folder import write_task

Cli = Callable[..., tuple[int, str, str]]


def publish(root: Path, promote: bool, accuracy: float) -> tuple[Artefact, Artefact]:
    def write_model(folder: Path) -> None:
        (folder / "model-fp16.onnx").write_text(str(accuracy))
        write_json(
            folder / "config.json", {"labels": ["a"], "set_thresholds": {}, "scope_threshold": 0.0, "served": "model-fp16.onnx"}
        )

    def write_decision(folder: Path) -> None:
        gate = GateDecision("accuracy", promote, "So it is.", accuracy, 0.5).to_json()
        write_json(folder / "decision.json", {"promote": promote, "metrics": {"accuracy": accuracy}, "gates": [gate]})
        write_json(folder / "timings.json", {"gates": []})
        (folder / "report.html").touch()

    model, decision = (
        Store(root).build(Recipe(step, 1, {"accuracy": accuracy}, {}), write)
        for step, write in (("export", write_model), ("publish", write_decision))
    )
    Registry(root, "task").record(model, decision, Registry(root, "task").version())
    return model, decision


def test_task_without_a_decision_has_no_champion_and_no_last(tmp_path: Path) -> None:
    found = task_status(Workspace(tmp_path, tmp_path), "task")
    assert [found[name] for name in ("task", "champion", "last", "last_run")] == ["task", None, None, None]
    assert found["next"] == [{"command": "fsat run task", "for": "make one"}]


def test_champion_stands_with_its_files_and_the_last_decision_beside_it(tmp_path: Path) -> None:
    workspace = Workspace(data=tmp_path / "data", store=tmp_path / "store")
    model, decision = publish(workspace.store, promote=True, accuracy=0.9)
    publish(workspace.store, promote=False, accuracy=0.2)
    found = task_status(workspace, "task")
    assert (found["champion"]["version"], found["champion"]["metrics"]) == (1, {"accuracy": 0.9})
    assert found["champion"]["paths"] == {
        "model": str(model.path / "model-fp16.onnx"),
        "report": str(decision.path / "report.html"),
        "manifest": str(model.path / "manifest.json"),
    }
    assert all(Path(path).is_file() for path in found["champion"]["paths"].values())
    assert (found["last"]["action"], found["last"]["metrics"]) == ("hold", {"accuracy": 0.2})
    assert found["last_run"] == found["last"] | {"held_by": {"accuracy": "So it is."}}


def test_last_run_is_not_a_persons_move_and_needs_no_decision_in_the_store(tmp_path: Path) -> None:
    workspace = Workspace(data=tmp_path / "data", store=tmp_path / "store")
    publish(workspace.store, promote=True, accuracy=0.9)
    _, decision = publish(workspace.store, promote=False, accuracy=0.2)
    registry = Registry(workspace.store, "task")
    registry.promote("latest", 1)
    shutil.rmtree(decision.path)
    found = task_status(workspace, "task")
    assert (found["last"]["action"], found["last_run"]["action"], found["last_run"]["held_by"]) == ("promote", "hold", {})
    assert found["says"] == "The newest model is the champion, version 2."


def test_task_whose_registry_is_damaged_is_named_and_the_others_are_shown(store_root: Path, data_root: Path, cli: Cli) -> None:
    publish(store_root, promote=True, accuracy=0.9)
    for name in ("task", "other"):
        write_task(data_root / name, [("a", "x"), ("b", "y")])
    (store_root / "registry" / "other").mkdir()
    (store_root / "registry" / "other" / "champion.json").write_text('{"metrics": {}}')
    code, out, err = cli("status")
    assert code == 2
    assert [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")] == ["other", "task"]
    assert "v1" in out
    assert "cannot be read" in out
    assert (err.count("\n"), "other/champion.json" in err) == (1, True)
    code, out, _ = cli("status", "--json")
    assert (code, [row["champion"] and row["champion"]["version"] for row in result(out)["tasks"]]) == (2, [None, 1])
