"""`fsat checkout` brings a version back into another clone, and refuses files that were altered."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import DvcError, RegistryError, SnapshotError, StoreError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.snapshots.checkout import restore_version
from fsat_tasks.snapshots.snapshot import take_snapshot
from fsat_tasks.traffic.predictions import predict
from json_result import result
from published_clone import DATA, DVC_FILE, FOLDER, TASK, TEXTS, Published, alter, git, set_remote, stored, tree


def test_new_clone_gets_the_version_from_the_remote_and_predicts_the_same(there: Path, published: Published, cli: Any) -> None:
    code, said, _ = cli("checkout", TASK, "1", "--json")
    assert code == 0
    answer = result(said)
    assert (answer["version"], answer["restored"], answer["champion"]) == (1, True, 1)
    assert list(predict(TASK, TEXTS)) == published.predictions
    store = Path(os.environ["FSAT_STORE"])
    assert Registry(store, TASK).history() == [Registry(published.store, TASK).champion()]
    assert Registry(store, TASK).champion() == Registry(store, TASK).history()[0]
    assert git(there, "status", "--porcelain") == ""
    before = tree(there / FOLDER), tree(store)
    assert restore_version(TASK, 1)["restored"] is False  # all is there
    assert (tree(there / FOLDER), tree(store)) == before
    assert take_snapshot(TASK)["built"] is False  # and this store goes on from here


def test_model_that_is_gone_from_the_store_comes_back_and_the_champion_stays(
    there: Path, published: Published, tmp_path: Path
) -> None:
    shutil.copytree(published.store / "registry", tmp_path / "store" / "registry")
    pointer = tmp_path / "store" / "registry" / TASK / "champion.json"
    for path in (pointer, pointer.with_name("history.jsonl")):
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "version": 2}) + "\n", "utf-8")
    before = pointer.read_bytes(), (pointer.parent / "history.jsonl").read_bytes()
    with pytest.raises(RegistryError, match="missing or altered"):
        list(predict(TASK, TEXTS))
    done = restore_version(TASK, 1, tmp_path / "out")
    assert (done["restored"], done["champion"]) == (True, 2)
    assert list(predict(TASK, TEXTS)) == published.predictions
    assert (pointer.read_bytes(), (pointer.parent / "history.jsonl").read_bytes()) == before
    assert set(tree(tmp_path / "out")) == set(tree(there / FOLDER))
    assert restore_version(TASK, 1, tmp_path / "out")["out"] == str(tmp_path / "out")  # the same copy again
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(StoreError, match="expected a new or empty folder, or a copy of this version, got one with other files"):
        restore_version(TASK, 1, tmp_path / "out")


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
        restore_version(TASK, 1)
    assert not (tmp_path / "store").exists()
    assert not (there / FOLDER).exists()
    stored(own, there, "export/model.onnx").unlink()
    shutil.rmtree(there / ".dvc" / "cache")
    with pytest.raises(DvcError, match=r"lacks a part of it, and remote 'storage' did not give the rest: dvc pull .*: failed"):
        restore_version(TASK, 1)


@pytest.mark.parametrize("name", ["export/model.onnx", "snapshot.json"])
def test_file_that_was_altered_in_the_cache_is_named_and_the_advice_helps(name: str, there: Path) -> None:
    restore_version(TASK, 1)
    shutil.rmtree(there / FOLDER)
    cached = stored(there / ".dvc" / "cache", there, name)
    alter(cached)
    with pytest.raises(SnapshotError, match=rf"v1/{name}: expected the file that was published, got another one") as caught:
        restore_version(TASK, 1)
    assert f"Remove {cached}, and try again" in str(caught.value)
    cached.unlink()
    restore_version(TASK, 1)


def test_file_that_was_altered_by_hand_is_kept_and_named(there: Path) -> None:
    restore_version(TASK, 1)
    samples = there / FOLDER / "task" / "samples.csv"
    samples.write_text("mine")
    with pytest.raises(SnapshotError, match=r"task/samples\.csv: .*got another one. Move .*v1 away"):
        restore_version(TASK, 1)
    assert samples.read_text() == "mine"
    samples.unlink()
    restore_version(TASK, 1)
    assert samples.read_bytes() == (DATA / TASK / "samples.csv").read_bytes()


@pytest.mark.parametrize("to", ["folder", "itself"])
def test_link_to_a_folder_is_not_followed(to: str, there: Path, tmp_path: Path) -> None:
    restore_version(TASK, 1)
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "id_rsa").write_text("secret")
    link = there / FOLDER / "export" / "sub"
    link.symlink_to(tmp_path / "secret" if to == "folder" else link.parent)
    with pytest.raises(SnapshotError, match=r"v1/export/sub: expected the file that was published, got one that is not listed"):
        restore_version(TASK, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_pipe_among_the_published_files_is_refused_and_not_read(there: Path) -> None:
    restore_version(TASK, 1)
    (there / FOLDER / "export" / "model.onnx").unlink()
    os.mkfifo(there / FOLDER / "export" / "model.onnx")
    with pytest.raises(SnapshotError, match=r"export/model\.onnx: expected the file that was published, got another one"):
        restore_version(TASK, 1)


def test_out_that_is_a_link_is_refused(there: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="got a link"):
        restore_version(TASK, 1, tmp_path / "out")
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
@pytest.mark.parametrize("use", [lambda: restore_version(TASK, 1), lambda: take_snapshot(TASK)])
def test_dvc_file_that_is_no_file_is_refused(use: Any, make: Any, there: Path, published: Published, tmp_path: Path) -> None:
    shutil.copytree(published.store / "registry", tmp_path / "store" / "registry")
    (there / DVC_FILE).unlink()
    make(there / DVC_FILE)
    with pytest.raises(SnapshotError, match=r"v1\.dvc: expected the file that `fsat snapshot` wrote"):
        use()


@pytest.mark.parametrize(
    "content", ["", "[]", "outs: []\nmeta: {fsat: {}}", "meta: 1", "outs: [", "x: 2001-99-99", "x: !!int foo"]
)
def test_dvc_file_that_is_damaged_is_named(content: str, there: Path) -> None:
    (there / DVC_FILE).write_text(content)
    with pytest.raises(SnapshotError, match=r"v1\.dvc: expected the file that `fsat snapshot` wrote"):
        restore_version(TASK, 1)


def test_published_versions_are_no_outs_of_the_pipeline() -> None:
    outs = re.findall(r"outputs/|published/", (DATA.parent / "dvc.yaml").read_text("utf-8"))
    assert set(outs) == {"outputs/"}
