"""Artefacts of a few bytes, for tests of the store."""

from __future__ import annotations

from pathlib import Path

from fsat_tasks.store import Recipe

RECIPE = Recipe("step", 1, {"seed": 0}, {"rows": "abc"})


def write_two(folder: Path) -> dict[str, int]:
    (folder / "a.txt").write_text("first")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("second")
    return {"files": 2}


def refuse(folder: Path) -> None:
    raise AssertionError("built again")


def files_below(folder: Path) -> list[str]:
    """Return the files without the lock, and the folders of unfinished artefacts."""
    found = (path for path in folder.rglob("*") if path.is_file() or path.name.startswith("."))
    return sorted(str(path.relative_to(folder)) for path in found if path != folder / "runs" / ".lock")


def flip(path: Path) -> None:
    path.write_bytes(b"First")
