"""`fsat init`: the task folder that it makes loads, and nothing is left if it cannot be made."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.new_task import Wishes, create_task
from fsat_tasks.data.readers import read_rows
from fsat_tasks.errors import DataError, FsatError, StoreError, TaskError
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.text import Texts
from fsat_tasks.tasks.task import load_task

TICKETS = Wishes(("body",), "queue")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("body,queue\nhello,card_lost\nhi,refund-missing\nhey,card_lost\n")
    return path


def test_new_task_loads_with_a_prior_of_each_label_in_words(data_root: Path, samples: Path) -> None:
    folder = create_task("tickets", {"samples": samples}, TICKETS).folder
    task = load_task("tickets")
    assert folder == task.folder == data_root / "tickets"
    assert task.spec.classes == {"card_lost": "card lost", "refund-missing": "refund missing"}
    assert (task.spec.text, task.spec.label) == ("body", "queue")
    assert sorted(path.name for path in folder.iterdir()) == ["samples.csv", "task.yaml"]
    assert (folder / "samples.csv").read_bytes() == samples.read_bytes()


letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
labels = letters.filter(str.strip) | st.sampled_from(
    [
        "no",
        "null",
        "~",
        "1",
        "{x}",
        "a: b",
        "- x",
        "#c",
        '"',
        "'",
        "\\",
        "\x7f",
        "a\x85b",
        "a\u2028b",
        "\ufeff",
        "\ufffe",
        "<<",
        "🎉",
    ]
)


@given(st.lists(labels, min_size=2, max_size=5, unique=True), labels, labels)
def test_any_labels_and_columns_are_written_as_yaml_that_says_the_same(names: list[str], text: str, label: str) -> None:
    if text == label:
        return
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSAT_DATA", str(Path(folder) / "data"))
        path = Path(folder) / "rows.jsonl"
        path.write_text("\n".join(json.dumps({text: "words", label: name}) for name in names))
        create_task("task", {"samples": path}, Wishes((text,), label), warn=lambda _: None)
        task = load_task("task")
        assert set(task.spec.classes) == set(names)
        assert (task.spec.text, task.spec.label) == (text, label)
        file = task.file("samples")
        assert file is not None
        assert read_rows(file, RowFormat(Texts(), text, 20_000), label).labels == names


@pytest.mark.parametrize("name", ["../x", "a/b", "", "/tmp/x"])
def test_name_that_is_a_path_is_refused(name: str, data_root: Path, samples: Path) -> None:
    with pytest.raises(TaskError, match=re.escape(repr(name))):
        create_task(name, {"samples": samples}, TICKETS)
    assert list(data_root.iterdir()) == []


def test_task_that_exists_is_left_as_it_is(data_root: Path, samples: Path) -> None:
    create_task("tickets", {"samples": samples}, TICKETS)
    (data_root / "tickets" / "task.yaml").write_text("mine")
    with pytest.raises(TaskError, match="expected a new name"):
        create_task("tickets", {"samples": samples}, TICKETS)
    assert (data_root / "tickets" / "task.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.csv", b"", "expected a first line with the names of the columns, got an empty file"),
        (
            "s.csv",
            b"body,queue\na,b\nc,b\n",
            "column 'queue': expected two classes or more, got only 'b'. Add samples of another",
        ),
        ("s.csv", b"body,queue\n", "expected rows with a text and a label, got a file without any"),
        ("s.csv", b"text,label\na,b\n", "expected a column 'body'"),
        ("s.csv", b"body,queue\na,\n", "expected rows with a text and a label, got 1 with no label."),
        ("s.csv", "body,queue\nfür,b\n".encode() + b"\xff,b\n", "line 3: expected UTF-8"),
        (
            "s.pdf",
            b"body,queue\na,b\n",
            "--samples: expected a .csv, .tsv, .xlsx, .json, .jsonl, .parquet, .arrow, .txt,",
        ),
    ],
)
def test_samples_that_cannot_be_read_leave_nothing(
    name: str, content: bytes, message: str, data_root: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FsatError, match=re.escape(message)) as caught:
        create_task("tickets", {"samples": tmp_path / name}, TICKETS)
    assert isinstance(caught.value, DataError | TaskError)
    assert list(data_root.iterdir()) == []


def test_same_column_for_text_and_label_is_refused(data_root: Path, samples: Path) -> None:
    with pytest.raises(TaskError, match="--text and --label: expected two columns, got 'queue' for both"):
        create_task("tickets", {"samples": samples}, Wishes(("queue",), "queue"))
    assert list(data_root.iterdir()) == []


def test_what_is_odd_about_the_labels_is_a_warning(data_root: Path, samples: Path) -> None:
    said: list[str] = []
    samples.write_text("body,queue\nhello,lost\nhi,refund\nhey,lost\nwhat now,refund\n")
    create_task("tickets", {"samples": samples}, TICKETS, said.append)
    assert said == []
    samples.write_text("body,queue\nhello,lost\nhi,refund\nHello!,refund\nhey,Lost\nhi,lost\nHI,lost\nwhat,Lost\n")
    create_task("others", {"samples": samples}, TICKETS, said.append)
    assert said == [
        f"{samples}: labels 'Lost' (lines 5, 8) and 'lost' differ by case alone (write them the same)",
        f"{samples}, lines 2, 4: the same text under the labels 'lost' and 'refund' (keep one; there are 2 more such rows)",
    ]


def test_samples_whose_ending_is_in_capitals_are_taken(data_root: Path, samples: Path) -> None:
    create_task("tickets", {"samples": samples.rename(samples.with_name("TICKETS.CSV"))}, TICKETS)
    assert load_task("tickets").file("samples") == data_root / "tickets" / "samples.csv"


@pytest.mark.parametrize(
    ("name", "what"), [("nowhere.csv", "a file or a folder, got '.*', which is not there"), (".", r"CLASS/\*\.txt, a data set")]
)
def test_samples_that_are_no_file_are_named(name: str, what: str, data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=rf"--samples: expected {what}"):
        create_task("tickets", {"samples": tmp_path / name})
    assert list(data_root.iterdir()) == []


def test_data_root_that_cannot_be_written_is_named(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FSAT_DATA", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "file"))):
        create_task("tickets", {"samples": samples}, TICKETS)


def test_grades_that_are_words_wait_for_their_order(data_root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mood.csv"
    file.write_text("text,label\n" + "".join(f"text {i},{['bad', 'great', 'okay'][i % 3]}\n" for i in range(6)), "utf-8")
    text = (create_task("mood", {"samples": file}, Wishes(target="grade")).folder / "task.yaml").read_text("utf-8")
    assert load_task("mood").spec.classes == {}
    assert "# classes: put the grades in order, the lowest first" in text


@pytest.mark.parametrize(("label", "length"), [("x" * 1100, "1,102"), ("\x7f" * 300, "1,802")])
@pytest.mark.parametrize("target", ["one_label", "several_labels", "grade"])
def test_label_that_is_too_long_for_task_yaml_is_named_and_no_folder_is_made(
    label: str, length: str, target: str, data_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "s.csv").write_text(f"text,label\na,b\nb,{label}\nc,b\n")
    with pytest.raises(DataError, match=rf"s\.csv, line 3, column 'label': .* at most 1,024 characters .*, got {length}: "):
        create_task("new", {"samples": tmp_path / "s.csv"}, Wishes(target=target))
    assert list(data_root.iterdir()) == []


def test_longest_label_can_be_read_again(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(f"text,label\na,b\nb,{'x' * 1022}\nc,b\n")
    create_task("new", {"samples": tmp_path / "s.csv"})
    assert "x" * 1022 in load_task("new").spec.classes


def test_labels_that_make_task_yaml_too_large_are_refused_and_no_folder_is_made(data_root: Path, tmp_path: Path) -> None:
    rows = "".join(f"text {number},{number:04d}{'x' * 900}\n" for number in range(600))
    (tmp_path / "s.csv").write_text(f"text,label\n{rows}")
    with pytest.raises(DataError, match=r"expected labels for a task\.yaml of at most 1,000,000 bytes"):
        create_task("new", {"samples": tmp_path / "s.csv"})
    assert list(data_root.iterdir()) == []


@pytest.mark.parametrize("other", [{"o": "\ud800"}, {"\udfff": 1}])
@pytest.mark.parametrize("ending", [".json", ".jsonl"])
def test_half_surrogate_in_another_column_is_named(
    other: dict[str, object], ending: str, data_root: Path, tmp_path: Path
) -> None:
    rows = [{"text": "a", "label": "x", **other}, {"text": "b", "label": "y", **dict.fromkeys(other, "")}]
    file = tmp_path / f"s{ending}"
    file.write_text(json.dumps(rows) if ending == ".json" else "\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"line 1, column '.*': expected text, got half of a surrogate pair"):
        create_task("new", {"samples": file})
    assert list(data_root.iterdir()) == []
