"""Copies of artefacts: the same bytes for the same work, and nothing of the user's is ever removed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.copies import copy_out


def make(root: Path, files: Mapping[str, str], version: int = 1) -> Artefact:
    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)

    return Store(root).build(Recipe("step", version, {}, {}), write)


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copy_has_the_files_and_a_reference_that_lists_them(tmp_path: Path) -> None:
    artefact, out = make(tmp_path / "store", {"b": "2", "sub/a": "1"}), tmp_path / "new" / "out"
    copy_out(artefact, out)
    copied = tree(out)
    assert json.loads(copied.pop("artefact.json")) == {**artefact.reference(), "files": {"b": sha256("2"), "sub/a": sha256("1")}}
    assert copied == {"b": b"2", "sub/a": b"1"}
    elsewhere = make(tmp_path / "other", {"b": "2", "sub/a": "1"})  # another time, another folder: the same copy
    copy_out(elsewhere, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(out)


def test_former_copy_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    copy_out(make(tmp_path / "store", {"old": "1", "same": "1"}), out)
    copy_out(make(tmp_path / "store", {"same": "2"}, version=2), out)
    assert sorted(tree(out)) == ["artefact.json", "same"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def kill(path: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(path: object) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def copy_with_fault(fault: Callable[[object], None], number: int, artefact: Artefact, out: Path) -> bool:
    """Copy in a process with a fault before it renames or removes something for the N-th time. Returns whether it ended well."""
    pid = os.fork()
    if pid == 0:
        left = iter(range(number))

        def look(event: str, arguments: tuple[object, ...]) -> None:
            if event in ("os.rename", "os.remove", "os.rmdir") and next(left, None) == number - 1:
                fault(arguments[0])

        sys.addaudithook(look)
        try:
            copy_out(artefact, out)
            os._exit(0)
        except StoreError:
            os._exit(2)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def two(tmp_path: Path) -> tuple[Artefact, Artefact]:
    """Two artefacts with the same names and other contents."""
    first, second = (dict.fromkeys(("a", "b", "sub/c"), number) for number in "12")
    return make(tmp_path / "store", first), make(tmp_path / "store", second, version=2)


def test_copy_that_is_killed_leaves_the_former_copy_the_new_one_or_none(two: tuple[Artefact, Artefact], tmp_path: Path) -> None:
    wholes: list[dict[str, bytes]] = [{}]
    for artefact in two:
        copy_out(artefact, tmp_path / "whole")
        wholes.append(tree(tmp_path / "whole"))
    number, ended_well = 1, False
    while not ended_well:
        out = tmp_path / str(number)
        copy_out(two[0], out)
        ended_well = copy_with_fault(kill, number, two[1], out)
        assert tree(out) in wholes
        copy_out(two[1], out)
        assert tree(out) == wholes[-1]
        number += 1
    assert number > 5


@pytest.mark.parametrize("number", [1, 2])
def test_copy_that_cannot_be_renamed_leaves_the_former_copy(number: int, two: tuple[Artefact, Artefact], tmp_path: Path) -> None:
    copy_out(two[0], tmp_path / "out")
    before = tree(tmp_path / "out")
    assert not copy_with_fault(refuse, number, two[1], tmp_path / "out")
    assert tree(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


@pytest.mark.parametrize("name", ["mine", "sub/mine"])
def test_file_that_no_copy_put_there_is_kept_and_named(name: str, tmp_path: Path) -> None:
    artefact, out = make(tmp_path / "store", {"sub/a": "1"}), tmp_path / "out"
    copy_out(artefact, out)
    (out / name).write_text("mine")
    before = tree(out)
    expected = f"expected a new folder, or one that holds nothing but an earlier copy, .*: {name}. Move"
    with pytest.raises(StoreError, match=expected):
        copy_out(artefact, out)
    assert tree(out) == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 1}', '{"files": [[]]}'])
def test_artefact_json_that_fsat_did_not_write_is_kept(content: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "artefact.json").write_text(content)
    with pytest.raises(StoreError, match=r"one with other files: artefact\.json"):
        copy_out(make(tmp_path / "store", {"a": "1"}), out)
    assert tree(out) == {"artefact.json": content.encode()}


def test_empty_folder_is_taken_and_a_file_is_not(tmp_path: Path) -> None:
    artefact = make(tmp_path / "store", {"a": "1"})
    (tmp_path / "empty").mkdir()
    copy_out(artefact, tmp_path / "empty")
    assert sorted(tree(tmp_path / "empty")) == ["a", "artefact.json"]
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="expected a folder"):
            copy_out(artefact, out)
    assert (tmp_path / "file").read_text() == "mine"


def test_folder_whose_listing_is_not_of_its_files_is_kept(tmp_path: Path) -> None:
    artefact, out = make(tmp_path / "store", {"a": "1"}), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("work")
    for files, expected in (
        (["thesis.txt"], r"an older version of fsat wrote, .*\. Name another folder, or remove this one\."),
        ({"thesis.txt": sha256("other")}, r"files were changed: thesis\.txt\. Move them"),
        ({"thesis.txt": None}, r"other files: artefact\.json, thesis\.txt"),
    ):
        (out / "artefact.json").write_text(json.dumps({"files": files}))
        with pytest.raises(StoreError, match=expected):
            copy_out(artefact, out)
        assert (out / "thesis.txt").read_text() == "work"


def test_copy_that_a_person_has_changed_is_kept_and_named(tmp_path: Path) -> None:
    artefact, out = make(tmp_path / "store", {"a": "1", "sub/b": "1"}), tmp_path / "out"
    copy_out(artefact, out)
    (out / "sub" / "b").write_text("mine")
    with pytest.raises(StoreError, match=r"files were changed: sub/b\. Move them"):
        copy_out(artefact, out)
    (out / "sub" / "b").unlink()
    os.mkfifo(out / "sub" / "b")
    with pytest.raises(StoreError, match=r"files were changed: sub/b\. Move them"):
        copy_out(artefact, out)


@pytest.mark.parametrize("to", ["target", "nowhere", "out"])
def test_link_is_refused_and_nothing_is_left_beside_it(to: str, tmp_path: Path) -> None:
    artefact, out = make(tmp_path / "store", {"a": "1"}), tmp_path / "out"
    (tmp_path / "target").mkdir()
    out.symlink_to(tmp_path / to)
    with pytest.raises(StoreError, match="expected a new folder or one that fsat wrote, got a link"):
        copy_out(artefact, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store", "target"]
    assert out.is_symlink()
    assert list((tmp_path / "target").iterdir()) == []


def test_mount_point_is_refused(small_disk: Path, tmp_path: Path) -> None:
    artefact = make(tmp_path / "store", {"a": "1"})
    with pytest.raises(StoreError, match=r"got a mount point, which cannot be replaced\. Name a folder inside of it"):
        copy_out(artefact, small_disk)
    copy_out(artefact, small_disk / "out")
