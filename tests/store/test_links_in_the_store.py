"""A link in the store may lead to somebody else's files: they are not written, moved or removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Recipe, Store
from swept_store import build, decide, publish

KEY = "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside of the store. Everything in it is older than anything that housekeeping keeps."""
    for name in ("photos", f"aa/{KEY}", f"aa/.{KEY}.else.where.1.0123abcd"):
        (tmp_path / "victim" / name).mkdir(parents=True)
        (tmp_path / "victim" / name / "a.jpg").write_text("mine")
    for path in (tmp_path / "victim", *(tmp_path / "victim").rglob("*")):
        os.utime(path, (0, 0))
    return tmp_path / "victim"


def content(folder: Path) -> dict[str, tuple[float, bytes]]:
    files = {str(path): (path.stat().st_mtime, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}
    return {**files, "": (folder.stat().st_mtime, b"")}


@pytest.mark.parametrize("name", ["corrupt", "checkpoints", "mystep", "mystep/aa", f"mystep/aa/{KEY}", "registry"])
def test_housekeeping_removes_nothing_behind_a_link(name: str, store: Store, victim: Path) -> None:
    build(store, "made")
    (store.root / name).parent.mkdir(parents=True, exist_ok=True)
    (store.root / name).symlink_to(victim / Path(*Path(name).parts[1:]))
    before = content(victim)
    assert housekeep(store, 0)["removed"].keys() == {"made"}
    assert content(victim) == before


def test_leases_behind_a_link_are_refused_by_name(store: Store, victim: Path) -> None:
    (store.root / "runs").symlink_to(victim)
    before = content(victim)
    for use in (lambda: housekeep(store), store.in_use().__enter__):
        with pytest.raises(StoreError, match=r"store/runs: expected a folder, got a link\. .* Remove the link"):
            use()
    assert content(victim) == before


def record(store: Store, number: int) -> None:
    Registry(store.root, "task").record(*decide(store, number), number - 1)


def set_aside(store: Store) -> None:
    made = build(store, "made")
    (made.path / "content").write_text("damaged")
    store.find("made", made.key)


def resume(store: Store) -> None:
    with store.scratch(Recipe("tune", 1, {}, {})):
        pass


WRITERS: dict[str, Callable[[Store], object]] = {
    "registry": lambda store: record(store, 1),
    "registry/task": lambda store: record(store, 1),
    "corrupt": set_aside,
    "checkpoints": resume,
    "made": lambda store: build(store, "made"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writer_refuses_a_link_by_name(name: str, store: Store, victim: Path) -> None:
    (store.root / name).parent.mkdir(exist_ok=True)
    (store.root / name).symlink_to(victim)
    before = content(victim)
    with pytest.raises(StoreError, match=rf"store/{name}: expected a folder, got a link"):
        WRITERS[name](store)
    assert content(victim) == before


def test_artefact_behind_a_link_is_read_if_it_is_whole_and_stays_where_it_is_if_not(store: Store, tmp_path: Path) -> None:
    made = build(store, "made")
    outside = tmp_path / "elsewhere"
    shutil.move(store.root / "made", outside)
    (store.root / "made").symlink_to(outside)
    before = content(outside)
    assert store.find("made", made.key) == made
    assert content(outside) == before
    next(outside.rglob("content")).write_text("damaged")
    with pytest.raises(StoreError, match="store/made: expected a folder, got a link"):
        store.find("made", made.key)
    assert content(outside).keys() == before.keys()


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_pointer_is_written_to_a_new_file(kind: str, store: Store, tmp_path: Path) -> None:
    publish(store, 1)
    registry, victim = Registry(store.root, "task"), tmp_path / "victim"
    victim.write_text("PRECIOUS")
    (registry.folder / "champion.json").unlink()
    planted = registry.folder / ".champion.json"
    if kind == "pipe":
        os.mkfifo(planted)
    else:
        (planted.symlink_to if kind == "link" else planted.hardlink_to)(victim)
    record(store, 2)
    assert victim.read_text() == "PRECIOUS"
    assert (registry.folder / "champion.json").is_file()
    assert registry.version() == 2
    assert not os.path.lexists(planted)


@pytest.mark.parametrize("there", [True, False])
def test_history_that_is_a_link_is_refused_and_not_followed(there: bool, store: Store, tmp_path: Path) -> None:
    folder = store.root / "registry" / "task"
    folder.mkdir(parents=True)
    (folder / "history.jsonl").symlink_to(tmp_path / "victim")
    if there:
        (tmp_path / "victim").touch()
    with pytest.raises(StoreError, match="a link or a pipe, not a file"):
        record(store, 1)
    assert (tmp_path / "victim").exists() == there
    assert not there or (tmp_path / "victim").read_bytes() == b""
