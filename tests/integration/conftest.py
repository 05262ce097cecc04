"""Fixtures: a clone that published a version, a clone that has to fetch it, and a repository that has kept nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsat_tasks.snapshots.snapshot import take_snapshot
from fsat_tasks.traffic.predictions import predict
from published_clone import TASK, TEXTS, Published, enter, git, make_repository


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("published")
    hub, remote, here, store = (folder / name for name in ("hub.git", "remote", "here", "store"))
    make_repository(here, hub, remote)
    shutil.copytree(demo_store, store, copy_function=os.link)
    with pytest.MonkeyPatch.context() as patch:
        enter(here, store, patch)
        said = take_snapshot(TASK)
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
