"""The status of tasks: published models and their folders."""

from __future__ import annotations

from pathlib import Path

from fsat_tasks.registry.registry import Registry
from fsat_tasks.registry.status import task_status
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.workspace import Workspace


def publish(root: Path, promote: bool, accuracy: float) -> tuple[Artefact, Artefact]:
    def write_model(folder: Path) -> None:
        (folder / "model.onnx").write_text(str(accuracy))

    def write_decision(folder: Path) -> None:
        write_json(folder / "decision.json", {"promote": promote, "metrics": {"accuracy": accuracy}})
        (folder / "report.html").touch()

    model, decision = (
        Store(root).build(Recipe(step, 1, {"accuracy": accuracy}, {}), write)
        for step, write in (("export", write_model), ("publish", write_decision))
    )
    Registry(root, "task").record(model, decision, Registry(root, "task").version())
    return model, decision


def test_task_without_a_decision_has_no_champion_and_no_last(tmp_path: Path) -> None:
    assert task_status(Workspace(tmp_path, tmp_path), "task") == {"task": "task", "champion": None, "last": None}


def test_champion_stands_with_its_files_and_the_last_decision_beside_it(tmp_path: Path) -> None:
    workspace = Workspace(data=tmp_path / "data", store=tmp_path / "store")
    model, decision = publish(workspace.store, promote=True, accuracy=0.9)
    publish(workspace.store, promote=False, accuracy=0.2)
    found = task_status(workspace, "task")
    assert (found["champion"]["version"], found["champion"]["metrics"]) == (1, {"accuracy": 0.9})
    assert found["champion"]["paths"] == {
        "model": str(model.path / "model.onnx"),
        "report": str(decision.path / "report.html"),
        "manifest": str(model.path / "manifest.json"),
    }
    assert all(Path(path).is_file() for path in found["champion"]["paths"].values())
    assert (found["last"]["action"], found["last"]["metrics"]) == ("hold", {"accuracy": 0.2})
