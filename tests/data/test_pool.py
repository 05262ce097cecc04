"""The pool as an artefact of its own, which tasks share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.data import pool as pools
from fsat_tasks.data.pool import Pool, build_pool
from fsat_tasks.errors import DataError
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.validate import validate
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import Task, load_task

MakeTask = Callable[..., str]
Rows = list[tuple[str, str]]

POOL = 'text\na goat on a hill\n""\nA GOAT on a hill\nкоза на холме\nthe ferry to Crete\n'
CYRILLIC = "text\nкоза на холме\nпаром на Крит\nсколько будет два\n"


def check(name: str) -> Artefact:
    task = load_task(name)
    return validate(Run(task, store(task)))


def pool_of(name: str) -> Pool:
    task = load_task(name)
    return Pool(check(name), store(task))


def store(task: Task) -> Store:
    return Store(task.folder.parent.parent / "store")


def warnings(validated: Artefact) -> dict[tuple[str, str], list[int]]:
    return {(found["file"], found["check"]): found["lines"] for found in validated.json("findings.json")}


@pytest.fixture
def shared(make_task: MakeTask, data_root: Path, toy_rows: Rows) -> list[str]:
    """Two tasks over one pool."""
    (data_root / "pool.csv").write_text(POOL, "utf-8")
    return [make_task(rows, unlabelled="../pool.csv") for rows in (toy_rows, toy_rows[:-1])]


def test_tasks_that_share_a_file_share_its_artefact_and_its_findings(shared: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    one = check(shared[0])
    monkeypatch.setattr(pools, "_write_rows", None)  # not read again
    other = check(shared[1])
    first, second = map(pool_of, shared)
    assert first.artefact == second.artefact
    assert sorted(path.name for path in one.path.iterdir()) == [
        "findings.json",
        "manifest.json",
        "pool.json",
        "rows.parquet",
        "slices.parquet",
        "texts.parquet",
    ]
    for validated, pool in ((one, first), (other, second)):
        assert warnings(validated) == {
            ("unlabelled", "text"): [3],
            ("unlabelled", "duplicates"): [4],
            ("unlabelled", "script"): [5],
        }
        assert (pool.size, validated.manifest["notes"]["unlabelled"]) == (4, 4)
        texts = list(pool.inputs(pool.draw(9, 0)))
        assert texts == ["a goat on a hill", "A GOAT on a hill", "коза на холме", "the ferry to Crete"]


def test_what_the_pool_is_read_with_is_part_of_its_key(shared: list[str], data_root: Path) -> None:
    tasks = [load_task(shared[0]), load_task(shared[1])]
    before = build_pool(tasks[0], store(tasks[0]))
    assert before == build_pool(tasks[1], store(tasks[0]))
    longer = tasks[0].spec.model_copy(update={"validation": tasks[0].spec.validation.model_copy(update={"max_characters": 99})})
    changed = build_pool(Task("t", tasks[0].folder, longer), store(tasks[0]))
    assert changed is not None
    assert before is not None
    assert changed.key != before.key
    (data_root / "pool.csv").write_text(POOL + "one more\n", "utf-8")
    after = build_pool(tasks[0], store(tasks[0]))
    assert after is not None
    assert after.key != before.key


def test_the_script_of_most_rows_of_all_files_is_the_common_one(make_task: MakeTask, toy_rows: Rows) -> None:
    """The pool's three rows have another script. Twelve samples outvote them, two do not."""
    many = make_task(toy_rows, unlabelled=CYRILLIC.encode())
    few = make_task([toy_rows[0], toy_rows[-1]], unlabelled=CYRILLIC.encode(), validation={"min_shots": 1})
    language: dict[tuple[str, str], list[int]] = {("unlabelled", "language"): []}
    assert warnings(check(many)) == {("unlabelled", "script"): [2, 3, 4], **language}
    assert warnings(check(few)) == {("samples", "script"): [2, 3], **language}


def test_a_task_without_a_pool_has_none(make_task: MakeTask, toy_rows: Rows) -> None:
    validated = check(make_task(toy_rows))
    pool = Pool(validated, Store(validated.path.parents[2]))
    assert pool.artefact is None
    assert (pool.size, validated.json("pool.json")) == (0, {"digest": None, "rows": 0})
    assert list(pool.inputs(pool.draw(9, 0))) == []


def test_a_pool_that_is_gone_or_damaged_is_made_again(shared: list[str]) -> None:
    made = pool_of(shared[0]).artefact
    assert made is not None
    (made.path / "pool.parquet").write_bytes(b"damaged")
    again = pool_of(shared[0]).artefact
    assert again is not None
    assert (again.key, again.digest) == (made.key, made.digest)


def test_a_pool_that_cannot_be_read_is_bad_input_and_leaves_nothing(shared: list[str], data_root: Path) -> None:
    (data_root / "pool.csv").write_bytes(POOL.encode() + b"\xff\n")
    with pytest.raises(DataError, match=r"pool\.csv, line 7"):
        check(shared[0])
    assert list((data_root.parent / "store").glob("*/*/*")) == []
