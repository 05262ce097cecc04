"""Housekeeping says what it removes, refuses what it cannot read or write, and may be killed at any write."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.published import find_published
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.manifest import read_manifest
from kill_at import is_write
from swept_store import LINE, TEXTS, age, build, content, decide, encode, publish, segments, steps


def test_dry_run_says_what_would_go_and_changes_nothing(store: Store) -> None:
    publish(store, 1)
    decide(store, 2)
    (store.root / "corrupt" / "tune-x").mkdir(parents=True)
    age(store, 30)
    before = content(store.root)
    said = housekeep(store, 7, dry_run=True)
    assert content(store.root) == before
    done = housekeep(store, 7)
    assert {**said, "dry_run": False} == done
    assert done["removed"].keys() == LINE.keys() - {"encoder"} | {"corrupt"}
    assert done["bytes"] == sum(found["bytes"] for found in done["removed"].values()) > 0
    assert done["kept"] == {"the registry": {"count": 6, "bytes": done["kept"]["the registry"]["bytes"]}}


def test_registry_that_cannot_be_read_stops_it_before_anything_is_removed(store: Store) -> None:
    publish(store, 1)
    decide(store, 2)
    age(store, 30)
    with (store.root / "registry" / "task" / "history.jsonl").open("a") as file:
        file.write("{}\n")
    before = steps(store)
    with pytest.raises(RegistryError, match="line 2"):
        housekeep(store, 0)
    assert steps(store) == before


def test_nothing_to_do_and_no_store_are_fine(store: Store, tmp_path: Path) -> None:
    assert housekeep(store, 0)["bytes"] == 0
    assert housekeep(Store(tmp_path / "none"), 0)["bytes"] == 0
    assert not (tmp_path / "none").exists()


def test_full_disk_can_be_cleaned(small_disk: Path) -> None:
    store = Store(small_disk)
    build(store, "made")
    with (small_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    assert housekeep(store, 0)["removed"].keys() == {"made"}


# Kills

WRITES = ("os.rename", "os.rmdir", "os.mkdir", "os.utime", "shutil.rmtree")


def die_at(write: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked process that is killed at write number `write`, from 0. True if it was killed before its end."""
    child = os.fork()
    if child == 0:
        left = [write]

        def count(event: str, arguments: tuple[object, ...]) -> None:
            if event in WRITES or is_write(event, arguments):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.fixture
def full(store: Store, encoder: Artefact) -> Iterator[Store]:
    """A store with work of every kind for housekeeping."""
    for start in (0, 4, 8):
        encode(store, encoder, TEXTS[start : start + 4])
    publish(store, 1)
    decide(store, 2)
    with pytest.raises(KeyboardInterrupt), store.scratch(Recipe("tune", 1, {}, {})) as folder:
        folder.mkdir()
        raise KeyboardInterrupt
    (store.root / "corrupt" / "tune-x").mkdir(parents=True)
    age(store, 30)
    store.find("encoder", encoder.key)
    yield store


def test_killed_at_any_write_it_leaves_a_whole_store_and_the_next_one_completes_it(
    full: Store, encoder: Artefact, tmp_path: Path
) -> None:
    rows = encode(full, encoder, TEXTS[:12])[1]
    age(full, 1)
    full.root.rename(tmp_path / "template")
    for write in range(1000):
        shutil.rmtree(full.root, ignore_errors=True)
        shutil.copytree(tmp_path / "template", full.root)
        killed = die_at(write, lambda: housekeep(full, 7))
        found = [path for path in full.root.glob("*/??/*/") if len(path.name) == 64]
        for folder in found:
            problem, manifest = read_manifest(folder)
            assert problem is None
            for parent in manifest["parents"].values():
                assert full.folder(parent["step"], parent["key"]) in found
        (entry,) = Registry(full.root, "task").history()
        for name in ("model", "decision"):
            find_published(full, "task", entry[name])
        if not killed or write % 5 == 0:  # each fifth, since this is what takes the time
            housekeep(full, 7)
            assert len(segments(full)) == 1
            assert list(full.root.glob("*/*/.*/")) == []
            assert steps(full)["export"] == 1
            cache, features = encode(full, encoder, TEXTS[:12])
            assert (cache.encoded, features.tobytes()) == (0, rows.tobytes())
        if not killed:
            break
    assert write > 30
