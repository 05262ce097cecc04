"""Canonical JSON and checksums, by which the store knows contents."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fsat_tasks.store import Store
from fsat_tasks.store import files as files_module
from fsat_tasks.store.files import canonical_json


def test_what_json_cannot_say_exactly_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": float("nan")})
    with pytest.raises(TypeError):
        canonical_json({"x": Path("a")})


def test_hash_of_a_large_file_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "SETTLED_NS", -(10**12))
    store, path, content = Store(tmp_path), tmp_path / "large", bytes(files_module.REMEMBERED_BYTES)
    path.write_bytes(content)
    first = store.sha256(path)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        assert store.sha256(path) == first
    path.write_bytes(b"x" + content[1:])
    os.utime(path, (1, 1))
    assert store.sha256(path) == hashlib.sha256(b"x" + content[1:]).hexdigest()
