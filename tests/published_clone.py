"""Repositories with Git and DVC in which a version of the demo task was published."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data"
TASK = "support-intents"
FOLDER, DVC_FILE = f"published/{TASK}/v1", f"published/{TASK}/v1.dvc"
TEXTS = ["my card has not arrived", "what is the weather", "I was charged twice"]


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments)


def enter(clone: Path, store: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("FSAT_DATA", str(clone / "data"))
    patch.setenv("FSAT_STORE", str(store))


def make_repository(folder: Path, hub: Path, remote: Path | None) -> None:
    """Make a new repository `hub`, and clone it with DVC and the demo task."""
    git(folder.parent, "init", "--quiet", "--bare", str(hub))
    git(folder.parent, "clone", "--quiet", str(hub), str(folder))
    (folder / ".dvc").mkdir()  # what `dvc init` and `dvc remote add` write
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    config = "" if remote is None else f"    remote = storage\n['remote \"storage\"']\n    url = {remote}\n"
    (folder / ".dvc" / "config").write_text(f"[core]\n    analytics = false\n{config}")
    shutil.copytree(DATA / TASK, folder / "data" / TASK)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "a task")


def set_remote(clone: Path, url: Path) -> None:
    (clone / ".dvc" / "config.local").write_text(f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n")


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return path -> inode and time of every file, which change if it is written again."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def stored(cache: Path, clone: Path, name: str) -> Path:
    """Return the path of a published file's object in DVC's cache or in a remote."""
    md5 = re.search(r"md5: (\w+\.dir)", (clone / DVC_FILE).read_text("utf-8"))
    assert md5 is not None
    listing = json.loads((cache / "files" / "md5" / md5[1][:2] / md5[1][2:]).read_text("utf-8"))
    (found,) = [str(entry["md5"]) for entry in listing if entry["relpath"] == name]
    return cache / "files" / "md5" / found[:2] / found[2:]


def alter(path: Path) -> None:
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b" ")
    path.chmod(0o444)


@dataclass(frozen=True)
class Published:
    """A clone in which the demo run's champion was kept, and pushed with git and DVC."""

    hub: Path
    remote: Path
    here: Path
    store: Path
    said: dict[str, Any]
    predictions: list[dict[str, Any]]
