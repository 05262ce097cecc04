"""Names and paths that a user gives never lead out of the folders that they are looked up in."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.errors import InputError, TaskError
from fsat_tasks.tasks.workspace import Workspace, check_task_name, confine


@pytest.mark.parametrize("name", ["a", "support-intents", "Task_2", "0", "a" * 64])
def test_plain_names_are_task_names(name: str) -> None:
    assert check_task_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "a b", " a", "a\n", "-a", "_a", ".a", "a.b", "é", "a\0", "a" * 65]
)
def test_other_names_are_refused_and_named(name: str) -> None:
    with pytest.raises(TaskError, match=re.escape(repr(name))):
        check_task_name(name)


@given(st.text(max_size=70))
def test_a_name_that_is_accepted_is_one_folder_below_the_root(name: str) -> None:
    try:
        check_task_name(name)
    except TaskError:
        return
    assert (Path("/root") / name).resolve().parent == Path("/root")


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "/", "//", "~", "a.csv"]), min_size=1).map("/".join))
def test_a_path_is_inside_or_refused(relative: str) -> None:
    root = Path("/no/such/root")
    try:
        path = confine(root, relative, "task.yaml: samples")
    except TaskError as error:
        assert error.where == "task.yaml: samples"
        assert error.got == repr(relative)
    else:
        assert path.is_relative_to(root)
        assert ".." not in path.parts


def test_links_may_stay_inside_and_not_lead_out(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (tmp_path / "outside.csv").touch()
    (folder / "inside.csv").touch()
    (folder / "good.csv").symlink_to("inside.csv")
    (folder / "bad.csv").symlink_to("../outside.csv")
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "up").symlink_to("..")
    assert confine(folder, "good.csv", "here") == (folder / "inside.csv").resolve()
    for name in ("bad.csv", "up/outside.csv", str(tmp_path / "outside.csv"), "a\0.csv"):
        with pytest.raises(TaskError, match="expected a file inside"):
            confine(folder, name, "here")
    with contextlib.suppress(TaskError):  # newer Pythons resolve a link to itself, and the file is then not there
        assert not confine(folder, "loop.csv", "here").is_file()


def test_a_root_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "s.csv").touch()
    (tmp_path / "link").symlink_to("real")
    assert confine(tmp_path / "link", "s.csv", "here").is_file()


def test_folders_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FSAT_DATA", raising=False)
    monkeypatch.delenv("FSAT_STORE", raising=False)
    assert Workspace.from_env() == Workspace(tmp_path / "data", tmp_path / ".fsat")
    monkeypatch.setenv("FSAT_DATA", "tasks")
    monkeypatch.setenv("FSAT_STORE", "/srv/fsat")
    assert Workspace.from_env() == Workspace(tmp_path / "tasks", Path("/srv/fsat"))


@pytest.mark.parametrize("name", ["FSAT_DATA", "FSAT_STORE"])
def test_empty_variable_is_an_error_and_not_the_current_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(
        InputError, match=f"^{name}: expected the path of a file or folder, got an empty value. Give {name} a path"
    ):
        Workspace.from_env()


def test_only_folders_with_a_task_file_and_a_task_name_are_tasks(tmp_path: Path) -> None:
    for name in ("b", "a", "two words", ".a.123", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "task.yaml").touch()
    workspace = Workspace(tmp_path, tmp_path / "store")
    assert workspace.task_names() == ["a", "b"]
    assert workspace.task_folder("a") == tmp_path / "a"


def test_a_task_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "task.yaml").touch()
    with pytest.raises(TaskError, match=r"task 'other'.*Tasks there: known.*fsat init other"):
        Workspace(tmp_path, tmp_path).task_folder("other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match="Tasks there: none"):
        Workspace(tmp_path / "empty", tmp_path).task_folder("other")
