"""Whatever the files of a store say: one clear error or an answer, nothing outside the store touched, nothing inside it lost."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsat_tasks.errors import FsatError
from fsat_tasks.housekeeping.reachable import artefact_folders
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.champion_files import champion_model
from fsat_tasks.registry.registry import Registry
from fsat_tasks.registry.status import task_status
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.files import write_json
from fsat_tasks.tasks.workspace import Workspace
from fsat_tasks.traffic.review import copy_result
from mutations import damaged_bytes, damaged_json
from promoted_models import TASK

Use = Callable[[Path], object]


def make(root: Path, step: str, number: int, **parents: Artefact) -> Artefact:
    def write(folder: Path) -> None:
        (folder / "model.onnx").write_text(f"{step} {number}")
        write_json(folder / "decision.json", {"promote": number != 3, "metrics": {"accuracy": number / 9}})

    return Store(root).build(Recipe(step, 1, {"number": number}, {}, parents=parents), write)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three models, of which the last was held, each with a parent; a copied result; a folder beside them."""
    place = tmp_path_factory.mktemp("whole")
    root = place / "store"
    for number in (1, 2, 3):
        model = make(root, "export", number, evaluate=make(root, "evaluate", number))
        Registry(root, TASK).record(model, make(root, "publish", number), Registry(root, TASK).version())
    Registry(root, TASK).rollback(expected=2)
    copy_result(make(root, "apply", 1), place / "out")
    (place / "victim").mkdir()
    (place / "victim" / "text").write_text("mine")
    return place


def contents(folder: Path) -> Counter[bytes]:
    """Return the contents of all files but locks and temporary ones, wherever in the folder they lie."""
    return Counter(path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def evaluated(root: Path) -> object:
    model = champion_model(TASK, Store(root))
    return Store(root).require(model.parent("evaluate"), "the evaluation")


def status(root: Path) -> object:
    return task_status(Workspace(root.parent, root), TASK)


READS: list[Use] = [
    status,
    evaluated,
    lambda root: Registry(root, TASK).history(damaged=True),
    lambda root: housekeep(Store(root), dry_run=True),
    lambda root: copy_result(make(root, "apply", 1), root.parent / "out"),
]
MOVES: list[Use] = [
    lambda root: Registry(root, TASK).rollback(expected=1),
    lambda root: Registry(root, TASK).promote("2", expected=1),
    lambda root: Registry(root, TASK).record(make(root, "export", 4), make(root, "publish", 4), 1),
    lambda root: housekeep(Store(root)),
]


def files(place: Path) -> Iterator[Path]:
    yield from sorted(place.glob("store/registry/*/*.json*"))
    yield from sorted(place.glob("store/e*/??/*/manifest.json"))
    yield place / "out" / "artefact.json"


@contextmanager
def copied(whole: Path) -> Iterator[Path]:
    """Context manager with a copy of the folder, because the examples of one test share its fixtures."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(whole, Path(folder) / "place")
        yield Path(folder) / "place"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_file_gives_one_error_or_an_answer_and_touches_and_loses_nothing(data: st.DataObject, whole: Path) -> None:
    with copied(whole) as place:
        path = data.draw(st.sampled_from(list(files(place))))
        *lines, last = path.read_bytes().splitlines(keepends=True) if path.suffix == ".jsonl" else [path.read_bytes()]
        new = damaged_json(last).map(lambda line: b"".join(lines) + line + b"\n")
        path.write_bytes(data.draw(damaged_bytes(path.read_bytes()) | new))
        before = contents(place / "store")
        for use in (*READS, *MOVES):
            try:
                use(place / "store")
            except FsatError as error:
                assert "\n" not in str(error)
            assert contents(place / "victim") == Counter([b"mine"])
            assert {below.name for below in place.iterdir()} == {"out", "store", "victim"}
            if use in READS:
                assert not before - contents(place / "store")
        assert len(artefact_folders(place / "store")) + len(list((place / "store").glob("corrupt/*"))) >= 10


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_history_never_moves_the_champion_to_the_model_that_was_taken_off(data: st.DataObject, whole: Path) -> None:
    with copied(whole) as place:
        root = place / "store"
        history = root / "registry" / TASK / "history.jsonl"
        lines = history.read_bytes().splitlines(keepends=True)
        kept = data.draw(st.lists(st.sampled_from(lines), max_size=6))
        history.write_bytes(b"".join(kept) if data.draw(st.booleans()) else data.draw(damaged_bytes(history.read_bytes())))
        for use in (
            lambda: Registry(root, TASK).champion(),
            lambda: Registry(root, TASK).record(make(root, "export", 2), make(root, "publish", 2), 1),
        ):
            try:
                use()
            except FsatError:
                continue
        try:
            champion = Registry(root, TASK).champion()
        except FsatError:
            return
        assert champion is not None
        assert champion["version"] == 1
