"""`fsat init`: the task folder that it makes loads, and nothing is left if it cannot be made."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.new_task import create_task
from fsat_tasks.data.readers import read_rows
from fsat_tasks.errors import DataError, FsatError, StoreError, TaskError
from fsat_tasks.tasks.task import load_task


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("body,queue\nhello,card_lost\nhi,refund-missing\nhey,card_lost\n")
    return path


def test_new_task_loads_with_a_prior_of_each_label_in_words(data_root: Path, samples: Path) -> None:
    folder = create_task("tickets", samples, "body", "queue")
    task = load_task("tickets")
    assert folder == task.folder == data_root / "tickets"
    assert task.spec.classes == {"card_lost": "card lost", "refund-missing": "refund missing"}
    assert (task.spec.text, task.spec.label) == ("body", "queue")
    assert sorted(path.name for path in folder.iterdir()) == ["samples.csv", "task.yaml"]
    assert (folder / "samples.csv").read_bytes() == samples.read_bytes()


labels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12) | st.sampled_from(
    ["no", "null", "~", "1", "{x}", "a: b", "- x", "#c", '"', "'", "\\", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe", "<<", "🎉"]
)


@given(st.lists(labels, min_size=1, max_size=5, unique=True), labels, labels)
def test_any_labels_and_columns_are_written_as_yaml_that_says_the_same(names: list[str], text: str, label: str) -> None:
    if text == label:
        return
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_DATA", str(Path(folder) / "data"))
        path = Path(folder) / "rows.jsonl"
        path.write_text("\n".join(json.dumps({text: "words", label: name}) for name in names))
        create_task("task", path, text, label)
        task = load_task("task")
        assert set(task.spec.classes) == set(names)
        assert (task.spec.text, task.spec.label) == (text, label)
        file = task.file("samples")
        assert file is not None
        assert read_rows(file, text, label, 20_000).labels == names


@pytest.mark.parametrize("name", ["../x", "a/b", "", "/tmp/x"])
def test_name_that_is_a_path_is_refused(name: str, data_root: Path, samples: Path) -> None:
    with pytest.raises(TaskError, match=re.escape(repr(name))):
        create_task(name, samples, "body", "queue")
    assert list(data_root.iterdir()) == []


def test_task_that_exists_is_left_as_it_is(data_root: Path, samples: Path) -> None:
    create_task("tickets", samples, "body", "queue")
    (data_root / "tickets" / "task.yaml").write_text("mine")
    with pytest.raises(TaskError, match="expected a new name"):
        create_task("tickets", samples, "body", "queue")
    assert (data_root / "tickets" / "task.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", b"", "expected rows, got an empty file"),
        ("s.csv", b"body,queue\n", "expected rows, got a file without any"),
        ("s.csv", b"text,label\na,b\n", "expected a column 'body'"),
        ("s.csv", b"body,queue\na,\n", "expected labels in the column 'queue', got none"),
        ("s.csv", b"body,queue\n\xff,b\n", "line 2: expected UTF-8"),
        ("s.txt", b"body,queue\na,b\n", "--samples: expected a .csv, .jsonl or .parquet file"),
    ],
)
def test_samples_that_cannot_be_read_leave_nothing(
    name: str, content: bytes, message: str, data_root: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FsatError, match=re.escape(message)) as caught:
        create_task("tickets", tmp_path / name, "body", "queue")
    assert isinstance(caught.value, DataError | TaskError)
    assert list(data_root.iterdir()) == []


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_samples_that_are_no_file_are_named(name: str, data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"--samples: expected .* file, got '.*'"):
        create_task("tickets", tmp_path / name)
    assert list(data_root.iterdir()) == []


def test_data_root_that_cannot_be_written_is_named(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FSAT_DATA", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "file"))):
        create_task("tickets", samples, "body", "queue")
