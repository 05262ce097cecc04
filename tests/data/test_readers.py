"""The readers: rows come back as they were written, with their line numbers, or an error says where the file is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.readers import Rows, read_rows
from fsat_tasks.errors import DataError

Table = list[tuple[str, str]]

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    ['"', ",", "\n", "\r\n", "a\nb", 'say "hi", twice', " blanks ", "\u2028", "\ufeff", "naïve 🎉", "'", "\\", "NA", "null", "1"]
)
tables = st.lists(st.tuples(cells, cells), min_size=1, max_size=12)


def read(content: bytes, suffix: str, text: str = "text", label: str | None = "label", limit: int = 20_000) -> Rows:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(content)
        rows = read_rows(path, text, label, limit)
        assert rows.file == str(path)
        return rows


def lines_of(chunks: Sequence[str]) -> list[int]:
    """Return the line that each chunk of a file starts on, as an editor counts."""
    starts, line = [], 1
    for chunk in chunks:
        starts.append(line)
        line += len(re.findall(r"\r\n|\r|\n", chunk))
    return starts


@given(tables, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.data())
def test_csv_is_read_as_it_was_written_with_the_lines_of_the_records(
    table: Table, end: str, mark: bool, data: st.DataObject
) -> None:
    chunks = []
    for cells in [("label", "other", "text"), *((label, "x", text) for text, label in table)]:
        chunks.append(end * data.draw(st.integers(0, 2)))  # blank lines between records
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(cells)
        chunks.append(buffer.getvalue())
    rows = read("".join(chunks).encode("utf-8-sig" if mark else "utf-8"), ".csv")
    assert rows.texts == [text or None for text, _ in table]  # CSV does not tell empty from missing
    assert rows.labels == [label or None for _, label in table]
    assert rows.lines == lines_of(chunks)[3::2]


@given(tables, st.booleans(), st.data())
def test_json_lines_are_read_as_they_were_written(table: Table, ascii_only: bool, data: st.DataObject) -> None:
    lines, numbers = [], []
    for text, label in table:
        lines += [" "] * data.draw(st.integers(0, 2))
        lines.append(json.dumps({"label": label, "text": text, "other": [1]}, ensure_ascii=ascii_only))
        numbers.append(len(lines))
    rows = read("\n".join(lines).encode(), ".jsonl")
    assert rows == Rows(rows.file, numbers, [text for text, _ in table], [label for _, label in table])


@given(tables, st.integers(1, 5))
def test_parquet_is_read_as_it_was_written(table: Table, group: int) -> None:
    texts, labels = [text for text, _ in table], [label for _, label in table]
    buffer = io.BytesIO()
    columns = {"other": [0] * len(table), "label": pa.array(labels).dictionary_encode(), "text": texts}
    pq.write_table(pa.table(columns), buffer, row_group_size=group)
    rows = read(buffer.getvalue(), ".parquet")
    assert rows == Rows(rows.file, list(range(1, len(table) + 1)), [*texts], [*labels])


def test_columns_may_have_other_names_and_labels_may_be_left_out() -> None:
    rows = read(b"queue,body\nq1,hello\n", ".csv", text="body", label="queue")
    assert (rows.texts, rows.labels) == (["hello"], ["q1"])
    rows = read(b"body\nhello\n", ".csv", text="body", label=None)
    assert (rows.texts, rows.labels) == (["hello"], [])


def test_numeric_labels_are_text_and_null_is_missing() -> None:
    rows = read(b'{"text": "a", "label": 7}\n{"text": null, "label": null}\n', ".jsonl")
    assert (rows.texts, rows.labels) == (["a", None], ["7", None])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", None], "label": pa.array([7, None])}), buffer)
    rows = read(buffer.getvalue(), ".parquet")
    assert (rows.texts, rows.labels) == (["a", None], ["7", None])


def test_short_record_has_no_label() -> None:
    assert read(b"text,label\nonly a text\n", ".csv").labels == [None]


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


GOOD = b"text,label\na,x\n"


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".csv", b"", ": expected rows, got an empty file."),
        (".jsonl", b"", ": expected rows, got an empty file."),
        (".parquet", b"", ": expected rows, got an empty file."),
        (".csv", b"text,label\n", ": expected rows, got a file without any."),
        (".csv", b"\n\n", ": expected rows, got a file without any."),
        (".jsonl", b"\n \n", ": expected rows, got a file without any."),
        (".parquet", parquet(text=pa.array([], pa.string()), label=pa.array([], pa.string())), ": expected rows, got a file w"),
        (
            ".csv",
            b"text,class\na,b\n",
            ": expected a column 'label', got the columns 'text', 'class'. Name the right column: `text` and ",
        ),
        (".jsonl", b'{"text": "a", "label": "b"}\n{"text": "a"}\n', ", line 2: expected the key 'label', got the keys 'text'"),
        (".parquet", parquet(body=["a"]), ": expected a column 'text', got the columns 'body'"),
        (".csv", GOOD + "caf\xe9,x\n".encode("latin-1"), ", line 3: expected UTF-8, got the byte 0xe9. Save the file as UTF-8."),
        (".csv", GOOD.decode().encode("utf-16"), ", line 1: expected UTF-8, got the byte 0xff"),
        (".csv", GOOD.decode().encode("utf-16-le"), ": expected a column 'text'"),
        (".jsonl", '{"text": "a"}'.encode("utf-16"), ", line 1: expected UTF-8"),
        (".csv", GOOD + b"a\0b,x\n", ", line 3, column 'text': expected text, got a NUL character."),
        (".jsonl", b'{"text": "a", "label": "b\\u0000"}', ", line 1, column 'label': expected text, got a NUL character."),
        (".jsonl", b'{"text": "\\ud800", "label": "b"}', ", line 1, column 'text': expected text, got half of a surrogate pair"),
        (".csv", GOOD + b"b,x\nc,d,e\n", ", line 4: expected 2 cells, got 3. Quote texts that contain commas."),
        (".csv", GOOD + b'"b,x\n', ", line 3: expected a CSV record, got unexpected end of data"),
        (".csv", GOOD + b'"two\nlines",x\n\n"b"c,x\n', ", line 6: expected a CSV record"),
        (".jsonl", b'{"text": "a", "label": "b"}\n\n{"text": \n', ", line 3: expected a JSON object"),
        (".jsonl", b"[1]\n", ", line 1: expected a JSON object, got a list."),
        (".jsonl", b"[" * 100_000, ", line 1: expected a JSON object"),
        (".jsonl", b'{"text": ["a"], "label": "b"}', ", line 1, column 'text': expected text, got a list."),
        (".jsonl", b'{"text": {}, "label": "b"}', ", line 1, column 'text': expected text, got an object."),
        (".jsonl", b'{"text": 1.5, "label": "b"}', ", line 1, column 'text': expected text, got a number with a fraction."),
        (".jsonl", b'{"text": "a", "label": true}', ", line 1, column 'label': expected text, got true or false."),
        (".parquet", parquet(text=["a"], label=[1.5]), ", line 1, column 'label': expected text, got a number with a fraction."),
        (".parquet", parquet(text=["a"], label=["b"])[:-9], ": expected a readable Parquet file"),
        (".parquet", parquet(text=["a"], label=["b"])[:40], ": expected a readable Parquet file"),
        (".parquet", GOOD, ": expected a readable Parquet file"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_line(suffix: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content, suffix)
    assert re.search(rf"/rows\{suffix}" + re.escape(message), str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_huge_cell_is_named_and_not_repeated(suffix: str) -> None:
    huge = "x" * 10_000_000
    content = {
        ".csv": f"text,label\na,b\n{huge},b\n".encode(),
        ".jsonl": "\n".join(json.dumps({"text": text, "label": "b"}) for text in ("a", huge)).encode(),
        ".parquet": parquet(text=["a", huge], label=["b", "b"]),
    }[suffix]
    with pytest.raises(DataError) as caught:
        read(content, suffix)
    said = str(caught.value)
    assert f"line {3 if suffix == '.csv' else 2}, column 'text': expected at most 20,000 characters, got 10,000,000" in said
    assert "validation.max_characters" in said
    assert len(said) < 400
    assert read(content, suffix, limit=10_000_000).texts[1] == huge


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_file_that_cannot_be_read_is_named(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"folder{suffix}" / "sub").mkdir(parents=True)
    for name in ("folder", "nowhere"):
        with pytest.raises(
            DataError, match=rf"/{name}\{suffix}: expected a .*, got .*([Ii]s a directory|No such file|regular file)"
        ):
            read_rows(tmp_path / f"{name}{suffix}", "text", "label", 10)
