"""Leftovers of killed processes go once nobody can be at work on them."""

from __future__ import annotations

import socket
import subprocess

import pytest

from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.store import Recipe, Store
from swept_store import age, build


def test_unfinished_folders_of_dead_processes_go_at_once_and_of_other_hosts_after_a_day(store: Store) -> None:
    folder, here = build(store, "made").path.parent, socket.gethostname()
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {name: f".{'a' * 64}.{name}.0123abcd" for name in (f"{here}.{dead.pid}", "its.host.2", "else.where.1")}
    for name in names.values():
        (folder / name / "sub").mkdir(parents=True)
    assert housekeep(store, 7)["removed"] == {"unfinished": {"count": 1, "bytes": 0}}
    assert {path.name for path in folder.iterdir() if path.name[0] == "."} == {*names.values()} - {names[f"{here}.{dead.pid}"]}
    age(store, 31)
    (folder / names["else.where.1"] / "sub" / "new").touch()
    assert housekeep(store, 30)["removed"] == {"made": {"count": 1, "bytes": 6}, "unfinished": {"count": 1, "bytes": 0}}
    assert [path.name for path in folder.iterdir()] == [names["else.where.1"]]


def test_artefacts_set_aside_and_checkpoints_go_by_age_but_not_those_being_worked_on(store: Store) -> None:
    whole = build(store, "made")
    (whole.path / "content").write_text("damaged")
    assert store.find("made", whole.key) is None
    busy, left = (Recipe("tune", 1, {"number": number}, {}) for number in (1, 2))
    with pytest.raises(KeyboardInterrupt), store.scratch(left) as folder:
        folder.mkdir()
        (folder / "body").write_text("half")
        raise KeyboardInterrupt
    with store.scratch(busy) as folder:
        folder.mkdir()
        assert housekeep(store, 7)["removed"] == {}
        age(store, 8)
        assert housekeep(store, 7)["removed"].keys() == {"corrupt", "checkpoints"}
        assert [path.name for path in (store.root / "checkpoints").glob("*/")] == [busy.key]
    assert list((store.root / "corrupt").iterdir()) == []
