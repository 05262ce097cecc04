"""Artefacts that a run found or made stay until it ends, however it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.store import Store
from fsat_tasks.store.lease import living_runs
from swept_store import age, build, decide, steps


def test_what_a_run_found_or_made_stays_until_it_ends(store: Store) -> None:
    old, _ = decide(store, 1)
    age(store, 30)
    with store.in_use():
        assert store.find("export", old.key) is not None
        new = build(store, "new")
        report = housekeep(store, 0)
        assert report["removed"].keys() == {"publish"}
        assert report["runs"] == [{"host": socket.gethostname(), "pid": os.getpid(), "since": report["runs"][0]["since"]}]
        assert report["kept"]["a run that goes on"]["count"] == 6
        assert new.path.exists()
    assert housekeep(store, 0)["runs"] == []
    assert steps(store) == {}


HOLD = """
import sys, time
from pathlib import Path
from fsat_tasks.store import Recipe, Store
store = Store(Path(sys.argv[1]))
with store.in_use():
    store.build(Recipe("made", 1, {}, {}), lambda folder: None)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_lease_ends_with_its_process_however_that_ends(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert [run["pid"] for run in housekeep(store, 0)["runs"]] == [process.pid]
    assert steps(store) == {"made": 1}
    process.kill()
    process.wait()
    assert len([*(store.root / "runs").glob("*.*.*")]) == 1
    assert living_runs(store.root, forget_dead=False) == []
    housekeep(store, 0)
    assert steps(store) == {}
    assert list((store.root / "runs").glob("*.*.*")) == []


def test_read_only_store_is_read_without_a_lease_and_refuses_housekeeping(small_disk: Path) -> None:
    made = build(Store(small_disk), "made")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Store(small_disk).in_use():
        assert Store(small_disk).find("made", made.key) is not None
    assert housekeep(Store(small_disk), 0, dry_run=True)["removed"].keys() == {"made"}
    with pytest.raises(StoreError):
        housekeep(Store(small_disk), 0)
