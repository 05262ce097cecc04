"""A task whose task.yaml, or a file that it names, cannot be read: one error at once, and no task that cannot be seen."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.task import load_task
from fsat_tasks.tasks.workspace import Workspace


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/{path.name}")  # a path to a socket has at most 107 characters
        os.close(here)


def large_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100_000_000)


PUT: dict[str, tuple[Callable[[Path], object], str]] = {
    # what lies at the path, and what the error says of it
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "a pipe": (os.mkfifo, "a pipe or a device"),
    "a socket": (bind_socket, "not a file"),
    "a device without an end": (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "not a file"),
    "a file that fails when it is read": (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error"),
    "a large file": (large_file, "at most 1,000,000 bytes, got a larger file"),
    "a file in UTF-16": (lambda path: path.write_text("samples: s.csv\n", "utf-16"), "line 1: expected UTF-8, got the byte 0xff"),
}


@pytest.fixture
def folder(data_root: Path) -> Path:
    """A task's folder with samples, without a task.yaml."""
    (data_root / "task").mkdir()
    (data_root / "task" / "s.csv").write_text("text,label\na,b\n")
    return data_root / "task"


@pytest.mark.parametrize("what", PUT)
@pytest.mark.timeout(20)
def test_task_file_that_is_no_readable_file_is_one_error_at_once(what: str, folder: Path) -> None:
    put, says = PUT[what]
    put(folder / "task.yaml")
    assert Workspace.from_env().task_names() == ["task"]
    with pytest.raises(TaskError, match=f"^{re.escape(str(folder / 'task.yaml'))}.*{re.escape(says)}"):
        load_task("task")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_task_that_belongs_to_another_user_is_named(folder: Path) -> None:
    (folder / "task.yaml").write_text("samples: s.csv\n")
    for path in (folder / "task.yaml", folder):
        mode = path.stat().st_mode
        path.chmod(0)
        assert Workspace.from_env().task_names() == ["task"]
        with pytest.raises(TaskError, match="Permission denied"):
            load_task("task")
        path.chmod(mode)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("a folder", "which is a folder"),
        ("a pipe", "which is a pipe, a socket or a device"),
        ("a socket", "which is a pipe, a socket or a device"),
        ("a link to nothing", "which is not there"),
    ],
)
@pytest.mark.parametrize("field", ["samples", "query"])
def test_named_file_that_is_no_file_is_said_with_what_it_is(what: str, says: str, field: str, folder: Path) -> None:
    (folder / "task.yaml").write_text(f"{field}: x.csv\n" + ("" if field == "samples" else "samples: s.csv\n"))
    PUT[what][0](folder / "x.csv")
    with pytest.raises(TaskError, match=rf"task\.yaml, line 1: {field}: expected a file in .*, got 'x\.csv', {says}\. Files"):
        load_task("task")


def test_names_of_many_files_are_not_all_listed(folder: Path) -> None:
    (folder / "task.yaml").write_text("samples: t.csv\n")
    for number in range(100):
        (folder / f"{number:02}\n\x1b.csv").touch()
    with pytest.raises(TaskError, match=r"Files there: 00\\n\\x1b\.csv, .* and 81 more\.$"):
        load_task("task")


def test_data_root_that_is_not_there_is_said_and_not_an_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root, says in ((tmp_path / "nowhere", "nothing there"), (Path("/dev/null"), "Not a directory")):
        monkeypatch.setenv("FSAT_DATA", str(root))
        with pytest.raises(TaskError, match=f"^data root {root}: .* got {says}. Set FSAT_DATA .* fsat init NAME"):
            Workspace.from_env().task_names()
        with pytest.raises(TaskError, match=f"^data root {root}"):
            load_task("task")
