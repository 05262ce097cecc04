"""A damaged artefact is set aside with a warning, and built again."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.store import Store
from fsat_tasks.store.files import canonical_json
from small_artefacts import RECIPE, flip, refuse, write_two


def edit(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def resize(path: Path, size: int) -> None:
    """Write another size of each file, with a new seal, as somebody would who knows the format."""
    manifest = json.loads(path.read_text())
    manifest.pop("seal")
    manifest["files"] = {name: {**entry, "bytes": size} for name, entry in manifest["files"].items()}
    seal = hashlib.sha256(canonical_json(manifest).encode()).hexdigest()
    path.write_text(json.dumps({**manifest, "seal": seal}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        ("a.txt", flip, "a.txt: sha256 differs"),
        ("sub/b.txt", Path.unlink, "sub/b.txt: not there"),
        ("manifest.json", cut, "manifest.json:"),
        ("manifest.json", Path.unlink, "manifest.json:"),
        ("manifest.json", lambda path: path.write_text("[]"), "manifest.json:"),
        ("manifest.json", lambda path: path.write_text("{}"), "manifest.json:"),
        ("manifest.json", lambda path: path.write_bytes(b"\xff\xfe"), "manifest.json:"),
        ("manifest.json", lambda path: path.write_text('{"files": {"a.txt": "x"}}'), "manifest.json:"),
        ("manifest.json", lambda path: path.write_text('{"files": {}}'), "manifest.json:"),
        ("manifest.json", lambda path: edit(path, digest="0" * 64), "manifest.json: digest is not"),
        ("manifest.json", lambda path: edit(path, key="0" * 64), "manifest.json: key is not"),
        ("manifest.json", lambda path: edit(path, step="other"), "manifest.json: step is not"),
        ("manifest.json", lambda path: edit(path, files={}), "manifest.json: digest is not"),
        ("manifest.json", lambda path: resize(path, 10**400), "manifest.json: files is not valid"),
        ("manifest.json", lambda path: resize(path, -1), "manifest.json: files is not valid"),
        ("a.txt", lambda path: (path.unlink(), path.mkdir()), "a.txt: not there"),
    ],
)
def test_damaged_artefact_is_set_aside_with_a_warning_and_built_again(
    name: str, damage: Callable[[Path], Any], problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    whole = store.build(RECIPE, write_two)
    damage(whole.path / name)
    with caplog.at_level(logging.WARNING):
        again = store.build(RECIPE, write_two)
    assert again.built
    assert (again.path, again.digest) == (whole.path, whole.digest)
    assert store.build(RECIPE, refuse).path == whole.path
    (aside,) = (tmp_path / "corrupt").iterdir()
    assert aside.name.startswith(f"step-{RECIPE.key}")
    (message,) = caplog.messages
    assert str(whole.path) in message
    assert str(aside) in message
    assert problem in message


def test_two_damaged_artefacts_of_one_key_are_both_kept_aside(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(2):
        flip(store.build(RECIPE, write_two).path / "a.txt")
    assert store.build(RECIPE, write_two).built
    assert len(list((tmp_path / "corrupt").iterdir())) == 2
