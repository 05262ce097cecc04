"""Registries with models of a few bytes that runs promoted."""

from __future__ import annotations

from pathlib import Path

from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json

TASK = "task"


def build(root: Path, number: int, promote: bool = True) -> tuple[Artefact, Artefact]:
    """Make model `number` and the decision about it in the store."""

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
    """Return a registry into which runs promoted these models."""
    for number in numbers:
        assert record(root, number) == "promoted"
    return Registry(root, TASK)


def actions(root: Path) -> list[tuple[str, int | None]]:
    return [(entry["action"], entry["version"]) for entry in Registry(root, TASK).history()]


def files(root: Path) -> dict[str, bytes]:
    folder = root / "registry" / TASK
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
