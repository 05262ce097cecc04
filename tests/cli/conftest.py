"""A small task for runs at the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MakeTask = Callable[..., str]


@pytest.fixture
def toy(make_task: MakeTask, encoder_store: Path, toy_rows: list[tuple[str, str]]) -> Callable[..., str]:
    """A small task with these gates; its encoder is exported already."""
    return lambda **gates: make_task(toy_rows, gates={"max_ece": 1.0, **gates})
