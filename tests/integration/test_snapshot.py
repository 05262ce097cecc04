"""`fsat snapshot` keeps the published version in a clone, with real git and DVC."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fsat_tasks.errors import DvcError, RegistryError, SnapshotError
from fsat_tasks.integrations.dvc import log
from fsat_tasks.registry.registry import Registry
from fsat_tasks.snapshots.checkout import restore_version
from fsat_tasks.snapshots.snapshot import take_snapshot
from kill_at import TESTS
from published_clone import DATA, DVC_FILE, FOLDER, TASK, Published, enter, git, set_remote, stored, tree


def test_version_is_one_directory_of_dvc_with_all_that_the_champion_is_made_of(published: Published) -> None:
    names = set(tree(published.here / FOLDER))
    assert names >= {f"task/{path.name}" for path in (DATA / TASK).iterdir()}
    assert names >= {"export/model.onnx", "evaluate/metrics.json", "publish/decision.json", "publish/report.html"}
    assert names >= {"tune/head.safetensors", "tune/head.json", "snapshot.json"}
    written = json.loads((published.here / FOLDER / "snapshot.json").read_text("utf-8"))
    assert written["entry"] == json.loads((published.store / "registry" / TASK / "champion.json").read_text("utf-8"))
    assert set(written["files"]) == names - {"snapshot.json"}
    assert (published.here / DVC_FILE).read_text("utf-8").count("- md5: ") == 1


def test_git_gets_two_small_files_and_dvc_the_rest(published: Published) -> None:
    assert published.said["commit"] == [DVC_FILE, f"published/{TASK}/.gitignore"]
    tracked = git(published.here, "ls-files", "published").split()
    assert sorted(tracked) == sorted(published.said["commit"])
    assert sum((published.here / name).stat().st_size for name in tracked) < 1000
    assert git(published.here, "status", "--porcelain") == ""
    assert stored(published.remote, published.here, "export/model.onnx").stat().st_size > 1_000_000


def test_again_changes_nothing_and_has_nothing_to_commit(here: Path) -> None:
    before = tree(here / "published"), tree(here / ".dvc" / "cache")
    again = take_snapshot(TASK)
    assert (tree(here / "published"), tree(here / ".dvc" / "cache")) == before
    assert (again["built"], again["remote"], again["commit"]) == (False, "storage", [])


def test_version_stays_when_the_task_changes_later(here: Path) -> None:
    samples = here / "data" / TASK / "samples.csv"
    content = samples.read_bytes()
    samples.write_bytes(content + b"one more text,card_declined\n")
    try:
        assert take_snapshot(TASK)["built"] is False
    finally:
        samples.write_bytes(content)


def test_pool_that_is_another_file_now_is_kept_as_the_rows_that_were_used(unkept: Path) -> None:
    path = unkept / "data" / TASK / "unlabelled.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    take_snapshot(TASK)
    kept = unkept / FOLDER / "task"
    assert pq.read_metadata(kept / "pool.parquet").num_rows == 904
    assert not (kept / "unlabelled.jsonl").exists()


def test_task_that_changed_since_it_was_published_is_not_kept_as_what_the_model_is_made_of(unkept: Path) -> None:
    path = unkept / "data" / TASK / "samples.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(SnapshotError, match=r"task folder .*: expected the rows that the champion is made of, got other rows"):
        take_snapshot(TASK)
    assert not (unkept / "published").exists()


def test_without_a_remote_the_version_is_in_the_cache_alone(unkept: Path, cli: Any) -> None:
    code, said, _ = cli("snapshot", TASK)
    assert code == 0
    assert "no default remote" in said
    assert f"git add {DVC_FILE} published/{TASK}/.gitignore && git commit" in said
    shutil.rmtree(unkept / FOLDER)
    assert restore_version(TASK, 1)["champion"] == 1
    shutil.rmtree(unkept / FOLDER)
    shutil.rmtree(unkept / ".dvc" / "cache")
    with pytest.raises(DvcError, match="v1: DVC's cache lacks a part of it, and there is no default remote"):
        restore_version(TASK, 1)


def test_remote_that_cannot_be_reached_is_a_later_trys_matter(unkept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    set_remote(unkept, tmp_path / "file" / "remote")
    with pytest.raises(DvcError, match=r"dvc push .*v1\.dvc in "):
        take_snapshot(TASK)
    set_remote(unkept, tmp_path / "remote")
    assert take_snapshot(TASK)["built"] is False
    assert stored(tmp_path / "remote", unkept, "export/model.onnx").is_file()


def test_version_of_another_store_is_never_overwritten(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = json.loads((here / FOLDER / "snapshot.json").read_text("utf-8"))["entry"]
    Registry(tmp_path, TASK).restore({**entry, "model": {**entry["model"], "digest": "f" * 64}})
    monkeypatch.setenv("FSAT_STORE", str(tmp_path))
    with pytest.raises(SnapshotError, match=rf"expected the model of version 1 in this store, f+, got .*checkout {TASK} 1"):
        take_snapshot(TASK)


# Killed, and at the same time

DIE = """
import sys
from fsat_tasks.snapshots.snapshot import take_snapshot
from kill_at import kill_at
kill_at(sys.argv[1])
take_snapshot("support-intents")
"""


@pytest.mark.parametrize(
    "at",
    [r"/fsat-snapshot/snapshot\.json", "'dvc', 'add'", r"/\.v1\.dvc"],
    ids=["before the list of files", "before DVC has them", "before the version is told"],
)
def test_killed_snapshot_is_completed_by_the_next(at: str, unkept: Path) -> None:
    assert subprocess.run([sys.executable, "-c", DIE, at], cwd=TESTS, check=False).returncode == -signal.SIGKILL
    assert take_snapshot(TASK)["built"] is True
    assert take_snapshot(TASK)["built"] is False
    assert sorted(path.name for path in (unkept / FOLDER).parent.iterdir()) == [".gitignore", "v1", "v1.dvc"]
    shutil.rmtree(unkept / FOLDER)
    restore_version(TASK, 1)


def test_two_at_the_same_time_make_it_once(unkept: Path) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(take_snapshot, [TASK, TASK]))
    assert sorted(one["built"] for one in done) == [False, True]


def test_lock_of_another_dvc_process_is_waited_for(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (here / ".dvc" / "tmp" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def release(record: logging.LogRecord) -> bool:
            fcntl.flock(lock, fcntl.LOCK_UN)
            return True

        caplog.set_level("INFO", log.name)
        log.addFilter(release)  # who waits for the lock says so
        try:
            assert take_snapshot(TASK)["remote"] == "storage"
        finally:
            log.removeFilter(release)
    assert "another DVC process is using" in caplog.text


# Nothing to keep


def test_task_without_a_champion_has_nothing_to_keep(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(tmp_path))
    with pytest.raises(RegistryError, match="expected a published model, got none yet"):
        take_snapshot(TASK)


@pytest.mark.parametrize(
    ("folders", "what"),
    [
        ([], "one outside of such a repository. Make one of a folder above it: git init && dvc init."),
        ([".git"], "which has no DVC. Add DVC to it: cd "),
        ([".dvc"], "one outside of such a repository. Make one of a folder above it: git init && dvc init."),
    ],
)
@pytest.mark.parametrize("verb", [("snapshot", TASK), ("checkout", TASK, "1")])
def test_outside_of_git_and_dvc_both_verbs_say_what_to_do(
    verb: tuple[str, ...], folders: list[str], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    for name in (*folders, f"data/{TASK}"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / TASK / "task.yaml").touch()
    enter(tmp_path, tmp_path / "store", monkeypatch)
    code, _, said = cli(*verb)
    assert code == 2
    assert "expected a folder in a Git repository with DVC, got " in said
    assert what in said
