"""The repository that snapshots go to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsat_tasks.errors import SnapshotError
from fsat_tasks.integrations.dvc import require_repository


def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    data = tmp_path / "desk" / "data"
    data.mkdir(parents=True)
    with pytest.raises(SnapshotError, match=r"Make one of a folder above it: git init && dvc init\."):
        require_repository(data)
    (tmp_path / "desk" / ".git").mkdir()
    with pytest.raises(SnapshotError, match=r"which has no DVC.*Add DVC to it: cd .*desk && dvc init\.") as caught:
        require_repository(data)
    assert "git init" not in str(caught.value)
