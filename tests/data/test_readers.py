"""The readers: rows come back as they were written, with their line numbers, or an error says where the file is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.readers import Rows, read_rows
from fsat_tasks.errors import DataError
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.text import Texts
from fsat_tasks.targets.several_labels import SeveralLabelsTarget

Table = list[tuple[str, str]]

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    ['"', ",", "\n", "\r\n", "a\nb", 'say "hi", twice', " blanks ", "\u2028", "\ufeff", "naïve 🎉", "'", "\\", "NA", "null", "1"]
)
tables = st.lists(st.tuples(cells, cells), min_size=1, max_size=12)


def read(content: bytes, suffix: str, text: str = "text", label: str | None = "label", limit: int = 20_000) -> Rows:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(content)
        rows = read_rows(path, RowFormat(Texts(), text, limit), label)
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
    assert rows.inputs == [text if text.strip() else None for text, _ in table]  # CSV does not tell empty from missing
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
    assert rows == Rows(rows.file, numbers, [text if text.strip() else None for text, _ in table], [label for _, label in table])


@given(tables, st.integers(1, 5))
def test_parquet_is_read_as_it_was_written(table: Table, group: int) -> None:
    texts, labels = [text for text, _ in table], [label for _, label in table]
    buffer = io.BytesIO()
    columns = {"other": [0] * len(table), "label": pa.array(labels).dictionary_encode(), "text": texts}
    pq.write_table(pa.table(columns), buffer, row_group_size=group)
    rows = read(buffer.getvalue(), ".parquet")
    assert rows == Rows(
        rows.file, list(range(1, len(table) + 1)), [text if text and text.strip() else None for text in texts], [*labels]
    )


def test_columns_may_have_other_names_and_labels_may_be_left_out() -> None:
    rows = read(b"queue,body\nq1,hello\n", ".csv", text="body", label="queue")
    assert (rows.inputs, rows.labels) == (["hello"], ["q1"])
    rows = read(b"body\nhello\n", ".csv", text="body", label=None)
    assert (rows.inputs, rows.labels) == (["hello"], [])


def test_numeric_labels_are_text_and_null_is_missing() -> None:
    rows = read(b'{"text": "a", "label": 7}\n{"text": null, "label": null}\n', ".jsonl")
    assert (rows.inputs, rows.labels) == (["a", None], ["7", None])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", None], "label": pa.array([7, None])}), buffer)
    rows = read(buffer.getvalue(), ".parquet")
    assert (rows.inputs, rows.labels) == (["a", None], ["7", None])


def test_true_and_false_are_labels_in_the_letters_of_json() -> None:
    assert read(b'{"text": "a", "label": true}\n{"text": "b", "label": false}\n', ".jsonl").labels == ["true", "false"]
    assert read(parquet(text=["a", "b"], label=[True, False]), ".parquet").labels == ["true", "false"]
    assert SeveralLabelsTarget().convert([True, "x", 7], "here") == "7|true|x"


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
        (".csv", b"", ": expected a first line with the columns 'text', 'label', got an empty file."),
        (".csv", b"\n\n", ": expected a first line with the columns 'text', 'label', got an empty file."),
        (".parquet", b"", ": expected a readable Parquet file, got Parquet file size is 0 bytes."),
        (
            ".csv",
            b"text,class\na,b\n",
            ": expected a column 'label', got the columns 'text', 'class'. Name the right column in task.yaml: `text`",
        ),
        (".jsonl", b'{"text": "a", "label": "b"}\n{"text": "a"}\n', ", line 2: expected a key 'label', got the keys 'text'"),
        (".parquet", parquet(body=["a"]), ": expected a column 'text', got the columns 'body'"),
        (
            ".csv",
            GOOD + "für,x\n".encode() + "caf\xe9,x\n".encode("latin-1"),
            ", line 4: expected UTF-8, got the byte 0xe9. Save it as UTF-8 (in Excel: CSV UTF-8).",
        ),
        (".csv", GOOD.decode().encode("utf-16")[:-1], ", line 2 or after: expected UTF-16, got the byte 0x0a. Save it as UTF-8"),
        (".jsonl", b'{"text": "a", "label": "b"}\r{"text": "a", "label": "b"}\r', ": expected lines that end with a line feed"),
        (".csv", b"body;queue\na;b\n", ": expected a column 'text', got the columns 'body', 'queue'."),
        (".csv", b"texts,labels\na,b\n", ": expected a column 'text', got the columns 'texts', 'labels'. Did you mean 'texts'?"),
        (
            ".csv",
            b"text#label\na, b#c\n",
            ": expected the columns 'text', 'label', got the single column 'text#label'. If '#' is between its columns, write a "
            "line sep=# before it, or save the file with another separator. Known are commas, semicolons, tabs, bars",
        ),
        (".csv", b"text;label\na;b;c\n", ", line 2: expected 2 cells, got 3. Quote texts that contain ';'."),
        (".csv", GOOD + b"a\0b,x\n", ", line 3, column 'text': expected text, got a NUL character."),
        (".jsonl", b'{"text": "a", "label": "b\\u0000"}', ", line 1, column 'label': expected text, got a NUL character."),
        (".jsonl", b'{"text": "\\ud800", "label": "b"}', ", line 1, column 'text': expected text, got half of a surrogate pair"),
        (".csv", GOOD + b"b,x\nc,d,e\n", ", line 4: expected 2 cells, got 3. Quote texts that contain ','."),
        (".csv", GOOD + b'"b,x\n', ", line 3: expected a CSV record, got unexpected end of data"),
        (".csv", GOOD + b'"two\nlines",x\n\n"b"c,x\n', ", line 6: expected a CSV record"),
        (".jsonl", b'{"text": "a", "label": "b"}\n\n{"text": \n', ", line 3: expected a JSON object"),
        (".jsonl", b"[1]\n", ", line 1: expected a JSON object, got a list."),
        (".jsonl", b"[" * 100_000, ", line 1: expected a JSON object"),
        (".jsonl", b'{"text": ["a"], "label": "b"}', ", line 1, column 'text': expected text, got a list."),
        (".jsonl", b'{"text": {}, "label": "b"}', ", line 1, column 'text': expected text, got an object."),
        (".jsonl", b'{"text": 1.5, "label": "b"}', ", line 1, column 'text': expected text, got a number with a fraction."),
        (".jsonl", b'{"text": "a", "text": "a", "label": "b"}', ", line 1: expected a JSON object, got the key 'text' twice."),
        (
            ".jsonl",
            b'{"text": "a", "label": "b", "more": {"x": 1, "x": 2}}',
            ", line 1: expected a JSON object, got the key 'x' tw",
        ),
        (".jsonl", b"true\n", ", line 1: expected a JSON object, got true or false."),
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


NO_ROWS = [
    (".csv", b"text,label\n"),
    (".csv", b"\n\ntext,label\n\n"),
    (".jsonl", b""),
    (".jsonl", b"\n \n"),
    (".parquet", parquet(text=pa.array([], pa.string()), label=pa.array([], pa.string()))),
]


@pytest.mark.parametrize(("suffix", "content"), NO_ROWS)
def test_file_without_rows_has_none_and_is_an_error_only_where_rows_are_required(suffix: str, content: bytes) -> None:
    rows = read(content, suffix)
    assert (rows.lines, rows.inputs, rows.labels) == ([], [], [])
    with pytest.raises(DataError, match=rf"/rows\{suffix}: expected rows, got a file without any\."):
        rows.required()


@given(tables, st.sampled_from([",", ";", "\t"]), st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_csv_is_read_with_any_separator_that_excel_writes(
    table: Table, separator: str, named: bool, end: str, mark: bool
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "text", "label"), *((1, *row) for row in table)])
    first = f"sep={separator}{end}" if named else ""
    rows = read((first + buffer.getvalue()).encode("utf-8-sig" if mark else "utf-8"), ".csv")
    assert rows.inputs == [text if text.strip() else None for text, _ in table]
    assert rows.labels == [label or None for _, label in table]
    assert rows.lines[0] == (3 if named else 2)


def test_separator_is_the_comma_wherever_the_header_has_all_columns_with_commas() -> None:
    assert read(b"text,label;x,label\na;b,c;d,e\n", ".csv").inputs == ["a;b"]
    assert read(b"text\na;b\n", ".csv", label=None).inputs == ["a;b"]
    assert read(b"sep=|\ntext|label\na,b;c|x\n", ".csv").inputs == ["a,b;c"]


def test_ending_in_capitals_is_the_same_format() -> None:
    assert read(GOOD, ".CSV").inputs == ["a"]
    assert read(b'{"text": "a", "label": "b"}', ".Jsonl").labels == ["b"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".txt"])
@pytest.mark.parametrize("start", [b"", b"text\n", b'text\n"'])
def test_line_without_an_end_is_refused_and_not_read_whole(suffix: str, start: bytes, tmp_path: Path) -> None:
    if suffix == ".jsonl":
        start = start.replace(b"text", b'{"text": "a"}')
    path = tmp_path / f"endless{suffix}"
    path.write_bytes(start)
    os.truncate(path, 5 * 2**30)  # takes no room on the disk
    tracemalloc.start()
    with pytest.raises(DataError, match=r"line \d: expected a line end within 67,108,864 characters, got none"):
        read_rows(path, RowFormat(Texts(), "text", 100), None)
    assert tracemalloc.get_traced_memory()[1] < 2**30
    tracemalloc.stop()


def test_quote_that_is_never_closed_does_not_take_in_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "open.csv"
    path.write_bytes(b'text\na\n"b\n' + (b"x" * 99 + b"\n") * 800_000)
    with pytest.raises(DataError, match=r"open\.csv, line 3: expected a line end within"):
        read_rows(path, RowFormat(Texts(), "text", 100), None)


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
    assert read(content, suffix, limit=10_000_000).inputs[1] == huge


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_file_that_cannot_be_read_is_named(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"folder{suffix}" / "sub").mkdir(parents=True)
    for name in ("folder", "nowhere"):
        with pytest.raises(
            DataError, match=rf"/{name}\{suffix}: expected a .*, got .*([Ii]s a directory|No such file|regular file)"
        ):
            read_rows(tmp_path / f"{name}{suffix}", RowFormat(Texts(), "text", 10), "label")
