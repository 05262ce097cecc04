"""Labelling a file: every row is in the result, a file has one result, and a bad file is refused before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsat_tasks.errors import DataError
from fsat_tasks.models.served import Answered
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller, label_rows, totals
from label_files import read_review, read_rows, write_texts
from stub_model import LONG, StubModel, stub_labeller

# What comes out


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".txt"])
def test_every_row_of_every_format_is_in_the_result_in_its_place(
    ending: str, labeller: Labeller, stub: StubModel, tmp_path: Path
) -> None:
    texts = ["one", "two, with a comma", "one", "", "drei ü 🎉", "   "]
    result = labeller.label(write_texts(tmp_path / f"new{ending}", texts))
    rows = read_rows(result)
    first = 2 if ending == ".csv" else 1
    assert [row["line"] for row in rows] == list(range(first, first + len(texts)))
    assert [row["text"] or "" for row in rows] == [text if text.strip() else "" for text in texts]
    p, scope = stub.run(texts)
    for row, probabilities, score in zip(rows, p, scope, strict=True):
        if not (row["text"] or "").strip():
            nothing = (row["label"], row["probability"], row["labels"], row["in_scope"], row["abstained"])
            assert nothing == (None, None, None, False, True)
            continue
        best = np.argsort(-probabilities)
        assert row["label"] == stub.rule.labels[best[0]] == row["labels"][0]
        assert row["probability"] == probabilities.max()
        assert row["margin"] == pytest.approx(float(probabilities[best[0]] - probabilities[best[1]]))
        assert row["in_scope"] == (score >= stub.scope_threshold)
        assert row["abstained"] == (not row["in_scope"] or row["probability"] < 0.5)
        sure = [stub.rule.labels[i] for i in best if 1 - float(probabilities[i]) <= 0.6]
        assert row["labels"] == (sure or [row["label"]])


def test_counts_add_up_and_are_those_of_the_rows(labeller: Labeller, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.csv", [f"text {i}" for i in range(100)] + ["", "text 1"])
    result = labeller.label(file)
    counts, rows = result.json("summary.json"), read_rows(result)
    assert counts["rows"] == 102 == counts["answered"] + counts["out_of_scope"] + counts["unsure"] + counts["blank"]
    assert counts["blank"] == 1
    assert counts["answered"] == sum(not row["abstained"] for row in rows) == sum(counts["labels"].values())
    assert counts["out_of_scope"] == sum(not row["in_scope"] for row in rows) - 1
    figures = totals([result.manifest["notes"], result.manifest["notes"]])
    assert (figures["files"], figures["rows"]) == (2, 204)
    assert figures["abstained_share"] == pytest.approx(1 - counts["answered"] / 102, abs=1e-4)


def test_rows_that_the_model_does_not_read_to_their_end_are_named_and_counted(
    labeller: Labeller, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = labeller.label(write_texts(tmp_path / "new.csv", ["short", "w" * (LONG + 1), "", "w" * (LONG + 1)]))
    assert [row["truncated"] for row in read_rows(result)] == [False, True, False, True]
    assert result.json("summary.json")["truncated"] == totals([result.manifest["notes"]])["truncated"] == 2
    assert caplog.messages == ["new.csv: 2 of 4 cut"]
    assert "cut" not in labeller.label(write_texts(tmp_path / "other.csv", ["short"])).json("summary.json")["labels"]
    assert len(caplog.messages) == 1


def test_least_probability_is_the_tasks(
    make_task: Callable[..., str], toy_rows: list[tuple[str, str]], stub: StubModel, store_root: Path, tmp_path: Path
) -> None:
    file = write_texts(tmp_path / "new.txt", [f"text {i}" for i in range(50)])
    answered = [
        stub_labeller(load_task(make_task(toy_rows, apply={"min_probability": least})), Store(store_root), stub).label(file)
        for least in (0.0, 0.5, 1.0)
    ]
    counts = [one.json("summary.json") for one in answered]
    assert counts[0]["unsure"] == 0 == counts[2]["answered"]
    assert counts[0]["answered"] > counts[1]["answered"] > 0


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".txt"])
def test_file_without_rows_is_nothing_to_do(ending: str, labeller: Labeller, tmp_path: Path) -> None:
    result = labeller.label(write_texts(tmp_path / f"none{ending}", []))
    some = labeller.label(write_texts(tmp_path / f"some{ending}", ["one"]))
    assert pq.read_table(result.path / PREDICTIONS).num_rows == 0
    assert pq.read_schema(result.path / PREDICTIONS) == pq.read_schema(some.path / PREDICTIONS)
    counts = dict.fromkeys(["rows", "answered", "out_of_scope", "unsure", "blank", "truncated", "to_review"], 0)
    assert result.json("summary.json") == {**counts, "labels": {}}
    assert read_review(result.path) == []
    assert totals([result.manifest["notes"]])["abstained_share"] == 0.0


def test_ending_in_capitals_is_the_same_format(labeller: Labeller, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.csv", ["one"])
    result = labeller.label(file)
    assert labeller.find(file.rename(tmp_path / "NEW.CSV")) == result


# One result


def test_file_is_labelled_once_by_a_model_whatever_its_name(
    labeller: Labeller, stub: StubModel, store_root: Path, tmp_path: Path
) -> None:
    file = write_texts(tmp_path / "new.txt", ["one", "two"])
    assert labeller.find(file) is None
    first, second = (labeller.label(file) for _ in range(2))
    assert (first.built, second.built) == (True, False)
    assert labeller.find(write_texts(tmp_path / "copy.txt", ["one", "two"])) == first
    other = stub_labeller(labeller.task, labeller.store, stub, version=2)
    for one, path in ((other, file), (labeller, write_texts(file, ["one", "two", "three"]))):
        assert one.find(path) is None
    assert list((store_root / "checkpoints").iterdir()) == []


TEXTS = st.lists(st.sampled_from(["", " ", "a", "b", "c d", "é", "🎉", "long " * 50]), min_size=1, max_size=25)


@settings(max_examples=25)
@given(texts=TEXTS, shard=st.integers(1, 9))
def test_size_of_the_shards_does_not_matter(stub: StubModel, texts: list[str], shard: int) -> None:
    rows = list(enumerate(texts, start=1))
    whole = label_rows(stub, rows, 0.5)
    parts = [label_rows(stub, rows[start : start + shard], 0.5) for start in range(0, len(rows), shard)]
    assert pa.concat_tables(parts).to_pylist() == whole.to_pylist()


# Bad files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.csv", b"", "expected a first line with the columns 'text', got an empty file"),
        ("n.csv", b"body\na\n", "expected a column 'text', got the columns 'body'"),
        ("n.csv", b'text\na\nb\n"c\n', "line 4: expected a CSV record"),
        ("n.jsonl", b'{"text": "a"}\n{"text": 1.5}\n', "line 2, column 'text': expected text, got a number"),
        ("n.txt", b"\xc3\xbcber\ncaf\xe9\n", "n.txt, line 2: expected UTF-8, got the byte 0xe9"),
        ("n.txt", b"a\nb\0\n", "line 2, column 'text': expected text, got a NUL character"),
        ("n.txt", b"a\n" + b"x" * 20_001, "line 2, column 'text': expected at most 20,000 characters"),
        ("n.parquet", b"PAR1", "expected a readable Parquet file"),
    ],
)
def test_bad_file_is_told_before_any_row_is_labelled(
    name: str, content: bytes, message: str, labeller: Labeller, stub: StubModel, store_root: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    before = stub.calls
    with pytest.raises(DataError) as caught:
        labeller.label(tmp_path / name)
    assert message in str(caught.value)
    assert stub.calls == before
    assert not (store_root / "checkpoints").exists()


def test_file_that_is_written_to_meanwhile_has_no_result(task: Task, store_root: Path, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.txt", ["one", "two"])

    class Writer(StubModel):
        def answer(self, inputs: Sequence[str]) -> Answered:
            with file.open("a") as more:
                more.write("three\n")
            return super().answer(inputs)

    with pytest.raises(DataError, match=r"new\.txt: expected a file that stays as it is, got one that changed during labelling"):
        stub_labeller(task, Store(store_root), Writer()).label(file)
    assert not list(store_root.glob("apply/*/*"))
    assert list((store_root / "checkpoints").iterdir()) == []
