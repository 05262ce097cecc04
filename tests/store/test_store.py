"""The store does work once, and puts nothing but whole artefacts under a final name."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fsat_tasks.errors import StoreError
from fsat_tasks.store import Store
from fsat_tasks.store.files import sha256_file
from small_artefacts import RECIPE, files_below, refuse, write_two

# Building and finding


def test_built_artefact_has_its_files_and_a_manifest_that_says_what_made_them(tmp_path: Path) -> None:
    parent = Store(tmp_path).build(replace(RECIPE, step="parent"), write_two)
    artefact = Store(tmp_path).build(replace(RECIPE, parents={"before": parent}), write_two)
    assert artefact.built
    assert artefact.path == tmp_path / "step" / RECIPE.key[:2] / RECIPE.key
    manifest = json.loads((artefact.path / "manifest.json").read_text())
    assert manifest == artefact.manifest
    assert manifest["files"] == {
        name: {"sha256": sha256_file(artefact.path / name), "bytes": size} for name, size in (("a.txt", 5), ("sub/b.txt", 6))
    }
    assert (manifest["step"], manifest["version"], manifest["key"]) == ("step", 1, RECIPE.key)
    assert (manifest["config"], manifest["inputs"], manifest["notes"]) == ({"seed": 0}, {"rows": "abc"}, {"files": 2})
    assert manifest["parents"] == {"before": parent.reference()}
    assert manifest["wall_seconds"] >= 0
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_second_build_does_not_write(tmp_path: Path) -> None:
    first = Store(tmp_path).build(RECIPE, write_two)
    second = Store(tmp_path).build(RECIPE, refuse)
    assert (second.built, second.path, second.manifest) == (False, first.path, first.manifest)
    assert Store(tmp_path).build(replace(RECIPE, version=2), write_two).built


@pytest.mark.parametrize(
    "error", [ValueError("bad data"), KeyboardInterrupt(), OSError("no such model"), PermissionError(13, "no", "/elsewhere")]
)
def test_failed_write_leaves_nothing_and_is_not_hidden(error: BaseException, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write_two(folder)
        raise error

    with pytest.raises(type(error)):
        Store(tmp_path).build(RECIPE, fail)
    assert files_below(tmp_path) == []
    assert Store(tmp_path).find(RECIPE.step, RECIPE.key) is None


# Restoring


def test_copy_of_an_artefact_goes_back_under_its_key_and_is_whole(tmp_path: Path) -> None:
    made = Store(tmp_path / "old").build(RECIPE, write_two)
    copy = made.path.rename(tmp_path / "copy")
    store = Store(tmp_path / "new")
    assert store.restore(copy, made.reference()) is True
    assert store.restore(copy, made.reference()) is False
    found = store.find(made.step, made.key)
    assert found is not None
    assert found.manifest == made.manifest
    (found.path / "a.txt").write_text("damaged")
    assert store.restore(copy, made.reference()) is True


def test_another_artefact_is_neither_restored_nor_replaced(tmp_path: Path) -> None:
    made = Store(tmp_path / "old").build(RECIPE, write_two)
    other = made.reference() | {"digest": "f" * 64}
    with pytest.raises(StoreError, match=r"the artefact with the digest f+, got one with another digest. Move that folder away"):
        Store(tmp_path / "old").restore(made.path, other)
    assert Store(tmp_path / "old").find(made.step, made.key) == made
    (made.path / "a.txt").write_text("damaged")
    with pytest.raises(StoreError, match=r"expected the artefact .* got the copy .*, which has another digest"):
        Store(tmp_path / "new").restore(made.path, made.reference())
    assert Store(tmp_path / "new").find(made.step, made.key) is None
