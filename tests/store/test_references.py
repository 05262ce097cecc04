"""References that a file names are checked before they become a path: nothing outside the store is ever touched."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.store import Artefact, Store
from fsat_tasks.store.manifest import read_manifest
from fsat_tasks.store.reference import is_reference
from small_artefacts import RECIPE, write_two

KEY = "0" * 64


@pytest.mark.parametrize(
    ("step", "key"),
    [
        ("step", "../victim"),
        ("step", ""),
        ("step", "."),
        ("step", KEY[:-1]),
        ("step", KEY.upper().replace("0", "A")),
        ("step", KEY + "\n"),
        ("..", KEY),
        ("", KEY),
        ("a/b", KEY),
        ("/etc", KEY),
        (".", KEY),
        ("Step", KEY),
        ("x" * 65, KEY),
    ],
)
def test_no_path_is_made_of_what_is_no_step_or_no_key(step: str, key: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "victim").mkdir()
    store.build(RECIPE, write_two)
    for use in (store.folder, store.find):
        with pytest.raises(StoreError, match=r"expected the (step|key) of an artefact, got "):
            use(step, key)
    assert (tmp_path / "victim").is_dir()
    assert not (tmp_path / "store" / "corrupt").exists()


@pytest.mark.parametrize(
    "value",
    [None, [], "x", {}, {"step": "step", "key": KEY}, {"step": 1, "key": KEY, "digest": KEY}]
    + [{"step": "step", "key": key, "digest": KEY} for key in ("../victim", 7, None, KEY + "0")]
    + [{"step": "step", "key": KEY, "digest": KEY, "lineage": "x"}],
)
def test_reference_has_a_step_a_key_and_a_digest(value: object) -> None:
    assert not is_reference(value)
    assert is_reference({"step": "step", "key": KEY, "digest": KEY}, "step")
    assert not is_reference({"step": "step", "key": KEY, "digest": KEY}, "other")


FIELDS = [
    "version",
    "config",
    "inputs",
    "numeric_class",
    "seed",
    "device",
    "parents",
    "created",
    "notes",
    "caller",
    "versions",
    "schema",
]


@pytest.mark.parametrize("name", FIELDS)
def test_manifest_in_which_any_field_was_altered_is_damaged(name: str, tmp_path: Path) -> None:
    artefact = Store(tmp_path).build(RECIPE, write_two)
    path = artefact.path / "manifest.json"
    manifest = json.loads(path.read_text())
    for value in ({**manifest, name: {"x": "y"}}, {key: manifest[key] for key in manifest if key != name}):
        path.write_text(json.dumps(value))
        assert read_manifest(artefact.path)[0]
    path.write_text(json.dumps(manifest))
    assert read_manifest(artefact.path)[0] is None


@pytest.mark.parametrize(
    "name", ["../../victim.txt", "/etc/hostname", "sub/../a.txt", "./a.txt", "a\0", "", "sub//b.txt", "\ud800"]
)
def test_manifest_that_names_a_file_elsewhere_is_damaged(name: str, tmp_path: Path) -> None:
    artefact = Store(tmp_path).build(RECIPE, write_two)
    manifest = json.loads((artefact.path / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"]["a.txt"]
    (artefact.path / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(artefact.path)[0] == "manifest.json: files is not valid"


def test_manifest_of_the_first_schema_has_no_seal_and_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artefact = store.build(RECIPE, write_two)
    old = {name: value for name, value in artefact.manifest.items() if name != "seal"} | {"schema": 1}
    (artefact.path / "manifest.json").write_text(json.dumps(old))
    found = store.find(RECIPE.step, RECIPE.key)
    assert found is not None
    assert found.manifest == old


def make(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path.name)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself", "socket"])
@pytest.mark.parametrize("name", ["manifest.json", "a.txt"])
def test_artefact_with_something_else_in_a_files_place_is_damaged_and_nobody_waits(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    artefact = store.build(RECIPE, write_two)
    (artefact.path / name).unlink()
    monkeypatch.chdir(artefact.path)  # a socket's path may have 107 letters
    make(Path(name), kind)
    monkeypatch.chdir(tmp_path)
    assert store.find(RECIPE.step, RECIPE.key) is None
    assert len(list((tmp_path / "corrupt").iterdir())) == 1


def child(store: Store, parent: Artefact) -> Artefact:
    return store.build(replace(RECIPE, step="child", inputs={"parent": parent.digest}, parents={"parent": parent}), write_two)


def test_lineage_names_everything_an_artefact_was_made_from(tmp_path: Path) -> None:
    one, other = (Store(tmp_path / name) for name in ("one", "other"))
    first = child(one, one.build(RECIPE, write_two))
    second = child(other, other.build(replace(RECIPE, version=2), write_two))
    assert (first.key, first.digest) == (second.key, second.digest)
    assert first.lineage != second.lineage
    assert first.parent("parent") == one.build(RECIPE, write_two).reference()
    with pytest.raises(StoreError, match="expected a parent 'tune', got parent"):
        first.parent("tune")


def test_reference_finds_no_artefact_of_another_lineage_or_digest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = child(store, store.build(RECIPE, write_two))
    assert store.find_named(made.reference()) == made
    without = {name: value for name, value in made.reference().items() if name != "lineage"}
    assert store.find_named(without) == made  # as older versions of fsat wrote them
    changes: list[dict[str, Any]] = [{"lineage": KEY}, {"digest": KEY}, {"key": KEY}]
    for change in changes:
        assert store.find_named({**made.reference(), **change}) is None
