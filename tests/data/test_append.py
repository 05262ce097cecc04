"""Feeding labels back: the task's files grow by rows that are new and right, or not at all. Earlier bytes stay the same."""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsat_tasks.data import appended as module
from fsat_tasks.data.append import add_samples
from fsat_tasks.data.readers import read_rows
from fsat_tasks.errors import DataError, StoreError, TaskError
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.text import Texts
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.traffic.review import Doubt, Review

MakeTask = Callable[..., str]
ROWS = [("a cat", "animal"), ("a dog", "animal"), ("seven", "number"), ("eight", "number")]


@pytest.fixture
def task(make_task: MakeTask) -> Task:
    return load_task(make_task(ROWS, query=[("a cow", "animal")], out_of_scope=[("hello", "")]))


def review(tmp_path: Path, *rows: tuple[str, str]) -> Path:
    path = tmp_path / "review.jsonl"
    path.write_text("".join(json.dumps({"text": text, "label": label, "suggested": "animal"}) + "\n" for text, label in rows))
    return path


def content(task: Task) -> dict[str, bytes]:
    return content_of(task.folder)


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_labelled_rows_go_to_their_files_and_the_rest_is_counted(task: Task, tmp_path: Path) -> None:
    before = content(task)
    rows = [
        ("a horse", "animal"),
        ("nine", "number"),
        ("Hello you", "out_of_scope"),
        ("A CAT!", "animal"),
        ("a cow", "animal"),
        ("a horse", "animal"),
        ("what", ""),
        ("hello", "out_of_scope"),
    ]
    file = review(tmp_path, *rows)
    counts = add_samples(task, file)
    assert counts == {"added": 2, "out_of_scope": 1, "already": 3, "held_out": 1, "unlabelled": 1}
    after = content(task)
    assert after.pop("samples.csv") == before.pop("samples.csv") + b"a horse,animal\r\nnine,number\r\n"
    assert after.pop("out_of_scope.csv") == before.pop("out_of_scope.csv") + b"Hello you,out_of_scope\r\n"
    assert after == before
    assert add_samples(task, file) == {"added": 0, "out_of_scope": 0, "already": 6, "held_out": 1, "unlabelled": 1}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("a horse", "animl"), "line 2: expected one of the labels animal, number, or out_of_scope, got 'animl'. Did"),
        (("a horse", "animal "), "got 'animal '. Did you mean 'animal'?"),
        (("", "animal"), "line 2, column 'text': expected a text, got none"),
        (("a dog", "number"), "line 2: expected the label 'animal', as the same text has in"),
        (("hello", "animal"), "line 2: expected the label 'out_of_scope', as the same text has in"),
        (("nine", "animal"), "line 2: expected the label 'number', as the same text has in"),
    ],
)
def test_one_bad_row_and_nothing_is_written(row: tuple[str, str], message: str, task: Task, tmp_path: Path) -> None:
    before = content(task)
    with pytest.raises(DataError, match=re.escape(message)):
        add_samples(task, review(tmp_path, ("nine", "number"), row))
    assert content(task) == before


def test_new_class_has_to_be_named(task: Task, tmp_path: Path) -> None:
    file = review(tmp_path, ("to Rome", "travel"))
    with pytest.raises(DataError, match="For a new class: --new-label 'travel'"):
        add_samples(task, file, new_labels=["other"])
    assert add_samples(task, file, new_labels=["travel"])["added"] == 1


def test_new_label_that_looks_like_a_known_one_is_a_warning(task: Task, tmp_path: Path) -> None:
    said: list[str] = []
    file = review(tmp_path, ("a goat", "Animal"), ("to Rome", "travel"))
    with pytest.raises(DataError, match=r"got 'Animal'\. Did you mean 'animal'\?"):
        add_samples(task, file, warn=said.append)
    add_samples(task, file, new_labels=["Animal", "travel"], warn=said.append)
    assert said == [f"{task.folder / 'samples.csv'}: labels 'Animal' and 'animal' differ by case alone (write them the same)"]


def test_label_with_a_control_character_is_refused_even_if_it_is_named(task: Task, tmp_path: Path) -> None:
    before = content(task)
    with pytest.raises(DataError, match=r"expected a label without line breaks and other control characters, got 'a\\tb'"):
        add_samples(task, review(tmp_path, ("a goat", "a\tb")), new_labels=["a\tb"])
    assert content(task) == before


def test_file_without_rows_adds_none(task: Task, tmp_path: Path) -> None:
    before = content(task)
    assert set(add_samples(task, review(tmp_path)).values()) == {0}
    assert content(task) == before


def test_formulas_of_a_review_file_are_added_as_the_texts_that_they_were(task: Task, tmp_path: Path) -> None:
    rows = ["=1+1", "'=2+2", "'good day", "-5 degrees", "@home"]
    doubts = Review(Texts())
    doubts.doubts.add(Doubt(0.1, row, "animal", 0.5, "unsure") for row in rows)
    doubts.write(tmp_path / "review.csv")
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        header, *cells = csv.reader(file)
    with (tmp_path / "filled.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([header, *([text, "animal", *rest] for text, _, *rest in cells)])
    assert add_samples(task, tmp_path / "filled.csv")["added"] == len(rows)
    path = task.folder / "samples.csv"
    assert read_rows(path, RowFormat(Texts(), "text", 100), "label").inputs[len(ROWS) :] == sorted(rows)


def test_first_row_out_of_scope_makes_the_file_and_the_key(make_task: MakeTask, tmp_path: Path) -> None:
    file, name = review(tmp_path, ("what", "out_of_scope"), ("nine", "number")), make_task(ROWS)
    assert add_samples(load_task(name), file)["out_of_scope"] == 1
    made = load_task(name)
    assert made.file("out_of_scope") == made.folder / "out_of_scope.csv"
    assert content(made)["out_of_scope.csv"] == b"text\r\nwhat\r\n"
    assert sorted(content(made)) == ["out_of_scope.csv", "samples.csv", "task.yaml"]
    assert add_samples(made, review(tmp_path, ("who", "out_of_scope")))["out_of_scope"] == 1
    assert content(made)["out_of_scope.csv"] == b"text\r\nwhat\r\nwho\r\n"


def test_file_that_task_yaml_does_not_name_is_left_alone(make_task: MakeTask, tmp_path: Path) -> None:
    task = load_task(make_task(ROWS))
    (task.folder / "out_of_scope.csv").write_text("mine")
    before = content(task)
    with pytest.raises(TaskError, match=r"Add to it: out_of_scope: out_of_scope\.csv"):
        add_samples(task, review(tmp_path, ("what", "out_of_scope"), ("nine", "number")))
    assert content(task) == before


def test_class_may_be_named_out_of_scope(make_task: MakeTask, tmp_path: Path) -> None:
    file = review(tmp_path, ("what", "out_of_scope"))
    named = load_task(make_task([*ROWS, ("else", "out_of_scope")]))
    assert add_samples(named, file)["added"] == 1


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("s.csv", b"\xef\xbb\xbfid,queue,body\r\n1,b,x\r\n2,c,y", b'\r\n,b,"a, ""z""\r\nand ~"\r\n'),
        ("s.csv", b"\n\nbody,queue\nx,b\ny,c\n", b'"a, ""z""\r\nand ~",b\n'),
        ("s.csv", b"id;queue;body\r\n1;b;x\r\n2;c;y\r\n", b';b;"a, ""z""\r\nand ~"\r\n'),
        ("s.csv", b"sep=\t\nqueue\tbody\nb\tx\nc\ty\n", b'b\t"a, ""z""\r\nand ~"\n'),
        (
            "s.jsonl",
            b'{"body": "x", "queue": "b", "id": 1}\n{"body": "y", "queue": "c"}',
            b'\n{"body": "a, \\"z\\"\\r\\nand ~", "queue": "b"}\n',
        ),
    ],
)
def test_bytes_that_are_there_stay_and_the_format_goes_on(
    name: str, before: bytes, after: bytes, data_root: Path, tmp_path: Path
) -> None:
    folder = data_root / "mine"
    folder.mkdir()
    (folder / name).write_bytes(before)
    (folder / name).chmod(0o640)
    (folder / "task.yaml").write_text(f"samples: {name}\ntext: body\nlabel: queue\n")
    assert add_samples(load_task("mine"), review(tmp_path, ('a, "z"\r\nand ~', "b")))["added"] == 1
    assert (folder / name).read_bytes() == before + after
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o640
    assert read_rows(folder / name, RowFormat(Texts(), "body", 100), "queue").inputs[-1] == 'a, "z"\r\nand ~'
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, "task.yaml"])


@pytest.mark.parametrize(
    ("name", "encoding", "before", "after"),
    [
        ("s.csv", "cp1252", "body;queue\r\nfür;b\r\nmöge;c\r\n", "naïve;b\r\n"),
        ("s.csv", "utf-16", "body\tqueue\nfür\tb\nmöge\tc", "\nnaïve\tb\n"),
        ("s.tsv", "utf-8-sig", "body\tqueue\nx\tb\ny\tc\n", "naïve\tb\n"),
        (
            "s.json",
            "utf-8",
            '[{"body": "x", "queue": "b"}, {"body": "y", "queue": "c"}',
            ',\n{"body": "naïve", "queue": "b"}\n]\n',
        ),
        ("s.jsonl", "utf-8", '{"body": "x", "queue": "b"}\n{"body": "y", "queue": "c"}\n', '{"body": "naïve", "queue": "b"}\n'),
    ],
)
def test_rows_are_appended_in_the_encoding_of_the_file(
    name: str, encoding: str, before: str, after: str, data_root: Path, tmp_path: Path
) -> None:
    folder = data_root / "mine"
    folder.mkdir()
    (folder / name).write_bytes((before + ("\n]" if name == "s.json" else "")).encode(encoding))
    (folder / "task.yaml").write_text(f"samples: {name}\ntext: body\nlabel: queue\n")
    assert add_samples(load_task("mine"), review(tmp_path, ("naïve", "b")))["added"] == 1
    assert (folder / name).read_bytes() == (before + after).encode(encoding)
    assert read_rows(folder / name, RowFormat(Texts(), "body", 100), "queue").inputs[-1] == "naïve"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "s.csv",
            "text,label\nfür,a\nmöge,b\n".encode("cp1252"),
            "expected rows in Windows-1252, got '我'. Save the file as UTF-8",
        ),
        (
            "s.arrow",
            b"",
            "expected a .csv, .tsv, .json, .jsonl or .parquet file, to which rows can be appended, got a .arrow file",
        ),
    ],
)
def test_file_that_cannot_take_the_rows_is_named(
    name: str, content: bytes, message: str, data_root: Path, tmp_path: Path
) -> None:
    folder = data_root / "mine"
    folder.mkdir()
    (folder / name).write_bytes(content)
    if not content:
        made = pa.table({"text": ["x", "y"], "label": ["a", "b"]})
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_file(file, made.schema) as writer:
            writer.write_table(made)
    (folder / "task.yaml").write_text(f"samples: {name}\n")
    before = content_of(folder)
    with pytest.raises(DataError, match=re.escape(message)):
        add_samples(load_task("mine"), review(tmp_path, ("我", "a")))
    assert content_of(folder) == before


def test_labels_of_an_export_are_added(task: Task, tmp_path: Path) -> None:
    rows = [{"text": "a horse", "_task_hash": 1, "accept": ["animal"], "answer": "accept"}]
    (tmp_path / "e.jsonl").write_text(json.dumps(rows[0]) + "\n" + json.dumps({**rows[0], "text": "ten", "answer": "reject"}))
    assert add_samples(task, tmp_path / "e.jsonl") == {
        "added": 1,
        "out_of_scope": 0,
        "already": 0,
        "held_out": 0,
        "unlabelled": 1,
    }


def parquet_task(data_root: Path, columns: dict[str, Any], schema: list[Any]) -> Task:
    folder = data_root / "mine"
    folder.mkdir()
    pq.write_table(pa.table(columns, schema=pa.schema(schema)), folder / "s.parquet")
    (folder / "task.yaml").write_text("samples: s.parquet\n")
    return load_task("mine")


def test_parquet_keeps_its_schema(data_root: Path, tmp_path: Path) -> None:
    schema = [("id", pa.int32()), ("label", pa.int64()), ("text", pa.large_string())]
    task = parquet_task(data_root, {"id": [1, 2], "label": [0, 1], "text": ["x", "y"]}, schema)
    assert add_samples(task, review(tmp_path, ("z", "1")))["added"] == 1
    table = pq.read_table(task.folder / "s.parquet")
    assert table.schema == pa.schema(schema)
    assert table.to_pylist()[-1] == {"id": None, "label": 1, "text": "z"}
    before = content(task)
    with pytest.raises(DataError, match=r"column 'label': expected rows that fit its type, int64"):
        add_samples(task, review(tmp_path, ("w", "new")), new_labels=["new"])
    assert content(task) == before


def test_column_that_must_not_be_empty_is_named(data_root: Path, tmp_path: Path) -> None:
    schema = [pa.field("id", pa.int32(), nullable=False), ("label", pa.string()), ("text", pa.string())]
    task = parquet_task(data_root, {"id": [1, 2], "label": ["a", "b"], "text": ["x", "y"]}, schema)
    with pytest.raises(DataError, match="column 'id': expected a column that may be empty"):
        add_samples(task, review(tmp_path, ("z", "a")))


def test_files_change_together_or_not_at_all(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(task)

    def full(path: Path, part: Path, rows: object, columns: object) -> None:
        part.write_bytes(b"half")
        if path.name.startswith("out"):
            raise OSError(28, "No space left on device")

    monkeypatch.setitem(module.WRITERS, ".csv", full)
    with pytest.raises(StoreError, match="No space left"):
        add_samples(task, review(tmp_path, ("nine", "number"), ("what", "out_of_scope")))
    assert content(task) == before


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXT, min_size=1, max_size=6), ending=st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_any_texts_come_back_as_they_were(
    texts: list[str], ending: str, data_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = data_root / "any"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    samples = folder / f"s{ending}"
    if ending == ".parquet":
        pq.write_table(pa.table({"text": ["first 1", "second 2"], "label": ["a", "b"]}), samples)
    else:
        samples.write_text(
            "text,label\nfirst 1,a\nsecond 2,b\n"
            if ending == ".csv"
            else '{"text": "first 1", "label": "a"}\n{"text": "second 2", "label": "b"}\n'
        )
    (folder / "task.yaml").write_text(f"samples: s{ending}\n")
    counts = add_samples(load_task("any"), review(tmp_path_factory.mktemp("any"), *((text, "a") for text in texts)))
    assert counts["added"] + counts["already"] == len(texts)
    found = read_rows(samples, RowFormat(Texts(), "text", 100), "label").inputs[2:]
    assert len(found) == counts["added"]
    assert set(found) <= set(texts)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx", ".jsonl"])
def test_apostrophe_of_a_review_is_undone_in_any_format(ending: str, task: Task, tmp_path: Path) -> None:
    rows = [("text", "label", "suggested", "probability", "reason"), ("'=1+1 lost card", "animal", "animal", "0.5", "unsure")]
    path = tmp_path / f"review{ending}"
    if ending == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    elif ending == ".jsonl":
        path.write_text(json.dumps(dict(zip(*rows, strict=True))))
    else:
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if ending == ".tsv" else ",").writerows(rows)
    assert add_samples(task, path)["added"] == 1
    read = read_rows(task.folder / "samples.csv", RowFormat(Texts(), "text", 1000), "label")
    assert read.inputs[-1] == "=1+1 lost card"
