"""Whatever is in a task.yaml: one TaskError that names the file, or a task that every later step can use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from fsat_tasks.errors import TaskError
from fsat_tasks.steps.changed import changed_tasks
from fsat_tasks.store.files import canonical_json
from fsat_tasks.targets.registered import find_target
from fsat_tasks.tasks.task import Task, load_task
from hostile_tasks import GOOD, contents, write_data


@pytest.fixture(scope="module")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The task.yaml of a task `hostile`, not made yet. FSAT_DATA and FSAT_STORE name folders of this module's own."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_DATA", str(folder / "data"))
        patch.setenv("FSAT_STORE", str(folder / "store"))
        yield write_data(folder / "data", "hostile")


def outcome(task_file: Path) -> Task | None:
    """Return the task, or None after checks of its error."""
    try:
        return load_task("hostile")
    except TaskError as error:
        said = str(error)
        assert said.startswith((str(task_file), str(task_file.parent)))
        assert "\n" not in said and len(said) < 1500
        said.encode()
        return None


def assert_usable(task: Task) -> None:
    """Check that everything in the task can be written, hashed and shown."""
    values = task.spec.model_dump()
    canonical_json(values).encode()
    assert json.loads(json.dumps(values)) == json.loads(task.spec.model_dump_json())
    find_target(task.spec).settings()
    assert all(name.strip() for name in (*task.spec.triggers.tune, *task.spec.triggers.watch, *task.spec.triggers.apply))


def test_the_good_file_is_good(task_file: Path) -> None:
    task_file.write_text(GOOD, "utf-8")
    task = outcome(task_file)
    assert task is not None and task.spec.classes == {"card_lost": "the card is lost", "007": "a number …"}
    assert_usable(task)


@given(content=contents)
def test_any_content_is_a_usable_task_or_one_error(task_file: Path, content: bytes) -> None:
    task_file.write_bytes(content)
    task = outcome(task_file)
    if task is not None:
        assert_usable(task)


@given(content=contents)
def test_any_content_is_a_task_to_run_and_looking_writes_nothing(task_file: Path, content: bytes) -> None:
    task_file.write_bytes(content)
    data = task_file.parents[1]
    before = sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*"))
    assert changed_tasks() == ["hostile"]
    assert sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*")) == before
    assert not (data.parent / "store").exists()
