"""Fixtures of the traffic tests: a small task, and a model of it that costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.traffic.labelling import Labeller
from stub_model import StubModel, stub_labeller


@pytest.fixture(scope="session")
def stub() -> StubModel:
    return StubModel()


@pytest.fixture
def task(make_task: Callable[..., str], toy_rows: list[tuple[str, str]]) -> Task:
    """A task of three classes of four rows."""
    return load_task(make_task(toy_rows))


@pytest.fixture
def labeller(task: Task, store_root: Path, stub: StubModel) -> Labeller:
    """A labeller of the task whose model is the stub."""
    return stub_labeller(task, Store(store_root), stub)
