"""Published versions in a repository: one clone keeps them, another brings them back, with real git and DVC."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fsat_tasks.errors import DvcError, RegistryError, SnapshotError, StoreError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.snapshots.checkout import checkout
from fsat_tasks.snapshots.snapshot import snapshot
from fsat_tasks.traffic.predictions import predict

DATA = Path(__file__).parents[2] / "data"
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
    """A clone of the new repository `hub` with DVC and the demo task."""
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
    """Every file with what changes when it is written again."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def stored(cache: Path, clone: Path, name: str) -> Path:
    """The object of a file of the version in DVC's cache or a remote of it."""
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


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("published")
    hub, remote, here, store = (folder / name for name in ("hub.git", "remote", "here", "store"))
    make_repository(here, hub, remote)
    shutil.copytree(demo_store, store, copy_function=os.link)
    with pytest.MonkeyPatch.context() as patch:
        enter(here, store, patch)
        said = snapshot(TASK)
        predictions = list(predict(TASK, TEXTS))
    git(here, "add", *said["commit"])
    git(here, "commit", "--quiet", "-m", "version 1")
    git(here, "push", "--quiet", "origin", "HEAD")
    yield Published(hub, remote, here, store, said, predictions)


@pytest.fixture
def here(published: Published, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(published.here, published.store, monkeypatch)
    return published.here


@pytest.fixture
def there(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new clone without a cache or a store."""
    git(tmp_path, "clone", "--quiet", str(published.hub), str(tmp_path / "there"))
    enter(tmp_path / "there", tmp_path / "store", monkeypatch)
    return tmp_path / "there"


@pytest.fixture
def unkept(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository without a remote or a snapshot, beside the store with the champion."""
    make_repository(tmp_path / "unkept", tmp_path / "hub.git", remote=None)
    enter(tmp_path / "unkept", published.store, monkeypatch)
    return tmp_path / "unkept"


# ---- keep


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
    again = snapshot(TASK)
    assert (tree(here / "published"), tree(here / ".dvc" / "cache")) == before
    assert (again["built"], again["remote"], again["commit"]) == (False, "storage", [])


def test_version_stays_when_the_task_changes_later(here: Path) -> None:
    samples = here / "data" / TASK / "samples.csv"
    content = samples.read_bytes()
    samples.write_bytes(content + b"one more text,card_declined\n")
    try:
        assert snapshot(TASK)["built"] is False
    finally:
        samples.write_bytes(content)


def test_pool_that_is_another_file_now_is_kept_as_the_rows_that_were_used(unkept: Path) -> None:
    path = unkept / "data" / TASK / "unlabelled.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    snapshot(TASK)
    kept = unkept / FOLDER / "task"
    assert pq.read_metadata(kept / "pool.parquet").num_rows == 600
    assert not (kept / "unlabelled.jsonl").exists()


def test_task_that_changed_since_it_was_published_is_not_kept_as_what_the_model_is_made_of(unkept: Path) -> None:
    path = unkept / "data" / TASK / "samples.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(SnapshotError, match=r"task folder .*: expected the rows that the champion is made of, got others"):
        snapshot(TASK)
    assert not (unkept / "published").exists()


def test_without_a_remote_the_version_is_in_the_cache_alone(unkept: Path, cli: Any) -> None:
    code, said, _ = cli("snapshot", TASK)
    assert code == 0
    assert "no default remote" in said
    assert f"git add {DVC_FILE} published/{TASK}/.gitignore && git commit" in said
    shutil.rmtree(unkept / FOLDER)
    assert checkout(TASK, 1)["champion"] == 1
    shutil.rmtree(unkept / FOLDER)
    shutil.rmtree(unkept / ".dvc" / "cache")
    with pytest.raises(DvcError, match="v1: DVC's cache lacks a part of it, and there is no default remote"):
        checkout(TASK, 1)


def test_remote_that_cannot_be_reached_is_a_later_trys_matter(unkept: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    set_remote(unkept, tmp_path / "file" / "remote")
    with pytest.raises(DvcError, match=r"dvc push .*v1\.dvc in "):
        snapshot(TASK)
    set_remote(unkept, tmp_path / "remote")
    assert snapshot(TASK)["built"] is False
    assert stored(tmp_path / "remote", unkept, "export/model.onnx").is_file()


def test_version_of_another_store_is_never_overwritten(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = json.loads((here / FOLDER / "snapshot.json").read_text("utf-8"))["entry"]
    Registry(tmp_path, TASK).restore({**entry, "model": {**entry["model"], "digest": "f" * 64}})
    monkeypatch.setenv("FSAT_STORE", str(tmp_path))
    with pytest.raises(SnapshotError, match=rf"expected the model of version 1 in this store, f+, got .*checkout {TASK} 1"):
        snapshot(TASK)


DIE = """
import os, signal
from fsat_tasks.snapshots import version as published
from fsat_tasks.snapshots import snapshot
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
{}
snapshot.snapshot("support-intents")
"""


@pytest.mark.parametrize("at", ["snapshot.content = die", "snapshot.run_dvc = die", "published.Version.write_meta = die"])
def test_killed_snapshot_is_completed_by_the_next(at: str, unkept: Path) -> None:
    assert subprocess.run([sys.executable, "-c", DIE.format(at)], check=False).returncode == -signal.SIGKILL
    assert snapshot(TASK)["built"] is True
    assert snapshot(TASK)["built"] is False
    assert sorted(path.name for path in (unkept / FOLDER).parent.iterdir()) == [".gitignore", "v1", "v1.dvc"]
    shutil.rmtree(unkept / FOLDER)
    checkout(TASK, 1)


def test_two_at_the_same_time_make_it_once(unkept: Path) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(snapshot, [TASK, TASK]))
    assert sorted(one["built"] for one in done) == [False, True]


def test_lock_of_another_dvc_process_is_waited_for(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with (here / ".dvc" / "tmp" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def release(_: float) -> None:
            fcntl.flock(lock, fcntl.LOCK_UN)

        monkeypatch.setattr("fsat_tasks.integrations.dvc.time.sleep", release)
        caplog.set_level("INFO", "fsat_tasks.integrations.dvc")
        assert snapshot(TASK)["remote"] == "storage"
    assert "another DVC process is using" in caplog.text


def test_task_without_a_champion_has_nothing_to_keep(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(tmp_path))
    with pytest.raises(RegistryError, match="expected a published model, got none yet"):
        snapshot(TASK)


@pytest.mark.parametrize("folders", [[], [".git"], [".dvc"]])
@pytest.mark.parametrize("verb", [("snapshot", TASK), ("checkout", TASK, "1")])
def test_outside_of_git_and_dvc_both_verbs_say_what_to_do(
    verb: tuple[str, ...], folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Any
) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    enter(tmp_path, tmp_path / "store", monkeypatch)
    code, _, said = cli(*verb)
    assert code == 2
    assert "expected a folder in a Git repository with DVC, got one outside of such a repository. Make one" in said


# ---- bring back


def test_new_clone_gets_the_version_from_the_remote_and_predicts_the_same(there: Path, published: Published, cli: Any) -> None:
    code, said, _ = cli("checkout", TASK, "1", "--json")
    assert code == 0
    answer = json.loads(said)
    assert (answer["version"], answer["restored"], answer["champion"]) == (1, True, 1)
    assert list(predict(TASK, TEXTS)) == published.predictions
    store = Path(os.environ["FSAT_STORE"])
    assert Registry(store, TASK).champion() == Registry(published.store, TASK).champion()
    assert Registry(store, TASK).history() == [Registry(published.store, TASK).champion()]
    assert git(there, "status", "--porcelain") == ""
    before = tree(there / FOLDER), tree(store)
    assert checkout(TASK, 1)["restored"] is False  # all is there
    assert (tree(there / FOLDER), tree(store)) == before
    assert snapshot(TASK)["built"] is False  # and this store goes on from here


def test_model_that_is_gone_from_the_store_comes_back_and_the_champion_stays(
    there: Path, published: Published, tmp_path: Path
) -> None:
    shutil.copytree(published.store / "registry", tmp_path / "store" / "registry")
    pointer = tmp_path / "store" / "registry" / TASK / "champion.json"
    pointer.write_text(json.dumps({**json.loads(pointer.read_text("utf-8")), "version": 2}), "utf-8")
    before = pointer.read_bytes(), (pointer.parent / "history.jsonl").read_bytes()
    with pytest.raises(RegistryError, match="missing or altered"):
        list(predict(TASK, TEXTS))
    done = checkout(TASK, 1, tmp_path / "out")
    assert (done["restored"], done["champion"]) == (True, 2)
    assert list(predict(TASK, TEXTS)) == published.predictions
    assert (pointer.read_bytes(), (pointer.parent / "history.jsonl").read_bytes()) == before
    assert set(tree(tmp_path / "out")) == set(tree(there / FOLDER))
    assert checkout(TASK, 1, tmp_path / "out")["out"] == str(tmp_path / "out")  # the same copy again
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(StoreError, match="expected a new or empty folder, or a copy of this version, got one with other files"):
        checkout(TASK, 1, tmp_path / "out")


def test_version_that_was_not_kept_is_named_with_those_that_were(there: Path, cli: Any) -> None:
    code, _, said = cli("checkout", TASK, "7")
    assert code == 2
    assert f"version 7 of task {TASK!r}: expected the file published/{TASK}/v7.dvc in {there}, got none." in said
    assert "Versions there: 1. Pull the commit that has it" in said
    assert cli("checkout", "../x", "1")[0] == 2
    assert cli("checkout", TASK, "0")[0] == 2


def test_file_that_was_altered_in_the_remote_is_named_and_nothing_comes_into_the_store(
    there: Path, published: Published, tmp_path: Path
) -> None:
    own = tmp_path / "own-remote"
    shutil.copytree(published.remote, own)
    set_remote(there, own)
    alter(stored(own, there, "export/model.onnx"))
    with pytest.raises(SnapshotError, match=r"v1/export/model\.onnx: expected the file .*, got another one from DVC"):
        checkout(TASK, 1)
    assert not (tmp_path / "store").exists()
    assert not (there / FOLDER).exists()
    stored(own, there, "export/model.onnx").unlink()
    shutil.rmtree(there / ".dvc" / "cache")
    with pytest.raises(DvcError, match=r"lacks a part of it, and remote 'storage' did not give the rest: dvc pull .*: failed"):
        checkout(TASK, 1)


@pytest.mark.parametrize("name", ["export/model.onnx", "snapshot.json"])
def test_file_that_was_altered_in_the_cache_is_named_and_the_advice_helps(name: str, there: Path) -> None:
    checkout(TASK, 1)
    shutil.rmtree(there / FOLDER)
    cached = stored(there / ".dvc" / "cache", there, name)
    alter(cached)
    with pytest.raises(SnapshotError, match=rf"v1/{name}: expected the file that was published, got another one") as caught:
        checkout(TASK, 1)
    assert f"Remove {cached}, and try again" in str(caught.value)
    cached.unlink()
    checkout(TASK, 1)


def test_file_that_was_altered_by_hand_is_kept_and_named(there: Path) -> None:
    checkout(TASK, 1)
    samples = there / FOLDER / "task" / "samples.csv"
    samples.write_text("mine")
    with pytest.raises(SnapshotError, match=r"task/samples\.csv: .*got another one. Move .*v1 away"):
        checkout(TASK, 1)
    assert samples.read_text() == "mine"
    samples.unlink()
    checkout(TASK, 1)
    assert samples.read_bytes() == (DATA / TASK / "samples.csv").read_bytes()


@pytest.mark.parametrize("content", ["", "[]", "outs: []\nmeta: {fsat: {}}", "meta: 1", "outs: ["])
def test_dvc_file_that_is_damaged_is_named(content: str, there: Path) -> None:
    (there / DVC_FILE).write_text(content)
    with pytest.raises(SnapshotError, match=r"v1\.dvc: expected the file that `fsat snapshot` wrote"):
        checkout(TASK, 1)


def test_published_versions_are_no_outs_of_the_pipeline() -> None:
    outs = re.findall(r"outputs/|published/", (DATA.parent / "dvc.yaml").read_text("utf-8"))
    assert set(outs) == {"outputs/"}
