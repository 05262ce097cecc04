"""Find what is wrong with a store: artefacts that are not whole, and artefacts that a registry names and the store lacks."""

from __future__ import annotations

from pathlib import Path

from fsat_tasks.housekeeping.reachable import artefact_folders
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Recipe, Store
from fsat_tasks.store.manifest import read_manifest
from fsat_tasks.store.reference import Reference

__all__ = ["damaged_artefacts", "leave_rubbish", "missing_artefacts"]


def damaged_artefacts(store: Path) -> list[str]:
    """Return the folders under a final name that are not whole artefacts, and those that fsat has set aside as damaged."""
    problems = {folder: read_manifest(folder)[0] for folder in artefact_folders(store)}
    damaged = [f"{folder.relative_to(store)}: {problem}" for folder, problem in problems.items() if problem is not None]
    return damaged + [f"{folder.relative_to(store)}: set aside" for folder in store.glob("corrupt/*")]


def missing_artefacts(store: Path, task: str, ancestors: bool = True) -> list[str]:
    """Return the models and decisions of a task's registry that the store lacks.

    Args:
        ancestors: also look for the artefacts that these were made from.

    Raises:
        RegistryError: the registry cannot be read.
    """
    registry, artefacts = Registry(store, task), Store(store)
    champion = registry.champion()
    entries = [*registry.history(), *([champion] if champion else [])]
    waiting: list[Reference] = [entry[name] for entry in entries for name in ("model", "decision")]
    seen, missing = set[tuple[str, str, str]](), list[str]()
    while waiting:
        reference = waiting.pop()
        name = (reference["step"], reference["key"], reference["digest"])
        if name in seen:
            continue
        seen.add(name)
        found = artefacts.find_named(reference)
        if found is None:
            missing.append(f"{reference['step']}/{reference['key']}: not there")
        elif ancestors:
            waiting += found.manifest["parents"].values()
    return missing


def leave_rubbish(store: Path, number: int) -> None:
    """Leave work for housekeeping: two artefacts that nothing points to, one of them the other's parent."""

    def write(folder: Path) -> None:
        (folder / "x").write_text("x")

    parent = Store(store).build(Recipe("rubbish", 1, {"number": number}, {}), write)
    Store(store).build(Recipe("rubbish", 2, {"number": number}, {}, parents={"before": parent}), write)
