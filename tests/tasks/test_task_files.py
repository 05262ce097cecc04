"""A pattern names files below the data root, and nothing outside of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.files import find_files
from fsat_tasks.tasks.task import load_task

MakeTask = Callable[..., str]


def test_pattern_names_files_of_the_data_root(make_task: MakeTask, toy_rows: list[tuple[str, str]], data_root: Path) -> None:
    incoming = data_root / "incoming" / "deep"
    incoming.mkdir(parents=True)
    for name in ("b.csv", "a.txt", ".hidden.csv", "c.zip", "E.CSV", "deep/d.jsonl"):
        (data_root / "incoming" / name).write_text("text\nx\n")
    task = load_task(make_task(toy_rows))

    def names(pattern: str) -> list[str]:
        return [path.relative_to(data_root / "incoming").as_posix() for path in find_files(task, pattern)]

    assert names("../incoming") == ["E.CSV", "a.txt", "b.csv"]
    assert names("../incoming/*.csv") == ["b.csv"]
    assert names("../incoming/**/*.jsonl") == ["deep/d.jsonl"]
    assert names("../incoming/b.csv") == names(str(data_root / "incoming" / "b.csv")) == ["b.csv"]
    assert names("../incoming/*.parquet") == []


@pytest.mark.parametrize(
    "pattern",
    [
        "/etc/passwd",
        "/etc/*",
        "../../*.csv",
        "../../outside/a.csv",
        "*/../../../outside/*.csv",
        "link/*.csv",
        "l*/*.csv",
        "a.zip",
        "none.csv",
        "none/*/../x.csv",
        "**x",
        "\0",
        "x" * 300 + ".csv",
    ],
)
def test_pattern_that_leads_out_or_to_nothing_is_refused(
    pattern: str, make_task: MakeTask, toy_rows: list[tuple[str, str]], data_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.csv").write_text("text\nx\n")
    task = load_task(make_task(toy_rows))
    (task.folder / "link").symlink_to(tmp_path / "outside")
    (task.folder / "a.zip").touch()
    with pytest.raises(TaskError, match=r"^files: expected "):
        find_files(task, pattern)


def test_files_are_those_of_task_yaml_where_none_are_named(make_task: MakeTask, toy_rows: list[tuple[str, str]]) -> None:
    with pytest.raises(TaskError, match=r"task\.yaml: apply\.files: expected a file, .* got none"):
        find_files(load_task(make_task(toy_rows)))
    (found,) = find_files(load_task(make_task(toy_rows, apply={"files": "samples.csv"})))
    assert found.name == "samples.csv"
