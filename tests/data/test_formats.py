"""Readers of all formats: what a file of each format says comes back as rows, and a bad one is one clear error."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.formats import excel, json_records
from fsat_tasks.data.formats.registry import describe, iter_records
from fsat_tasks.data.formats.sources import open_source
from fsat_tasks.errors import DataError, FsatError, TaskError

ROWS = [("my card has not arrived", "card"), ("I cannot log in", "login"), ("the card is lost", "card")]
JSON_ROWS = [{"text": text, "label": label} for text, label in ROWS]
NAMES = ["card", "login"]
FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": NAMES, "_type": "ClassLabel"}}


def found(path: Path, text: str = "text", label: str = "label") -> list[tuple[Any, Any]]:
    records = open_source(path, "--samples").records([text, label])
    return [(record[text], record[label]) for _, record in records]


def table() -> pa.Table:
    """Return a table as Hugging Face writes it, with numbers of classes and their names in the metadata."""
    about = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    columns = {"text": [text for text, _ in ROWS], "label": [NAMES.index(label) for _, label in ROWS]}
    return pa.table(columns).replace_schema_metadata(about)


def write_arrow(path: Path, stream: bool) -> None:
    made = table()
    with pa.OSFile(str(path), "wb") as file, (pa.ipc.new_stream if stream else pa.ipc.new_file)(file, made.schema) as writer:
        writer.write_table(made)


# Tables

letters = st.text(st.characters(codec="cp1252", exclude_characters="\0\r\n", exclude_categories=["Cc"]), max_size=20)


@given(
    st.lists(st.tuples(letters, letters), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|", "^", "~"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_csv_comes_back_from_any_separator_and_encoding(
    rows: list[tuple[str, str]], separator: str, encoding: str, quoting: Any
) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, quoting=quoting).writerows([("text", "label"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(out.getvalue().encode(encoding))
        records = [record for _, record in iter_records(path, ["text", "label"])]
        assert [record for _, record in iter_records(path, [])] == records
    assert [(record["text"] or "", record["label"] or "") for record in records] == rows


@pytest.mark.parametrize(
    ("encoding", "name", "texts"),
    [
        ("cp1252", "Windows-1252", ["Größe passt nicht, möchte zurückgeben", "Où est ma carte ? — „hier“ €20", "für"]),
        ("latin-1", "Windows-1252", ["¿Dónde está mi pedido?", "Preço não está certo"]),
        ("cp1250", "Windows-1250", ["Zażółć gęślą jaźń, gdzie jest moja karta?", "Příliš žluťoučký kůň"]),
        ("cp1251", "Windows-1251", ["Где моя карта? Она не пришла", "Хочу вернуть деньги"]),
        ("shift_jis", "Shift JIS", ["カードが届きません。返金してください"]),
        ("gb18030", "GB18030", ["我的卡还没有到，请退款"]),
    ],
)
def test_encoding_of_spreadsheets_is_found_and_said(encoding: str, name: str, texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("\r\n".join(["text;label", *(f"{text};x" for text in texts)]).encode(encoding))
    assert [text for text, _ in found(path)] == texts
    assert describe(path) == f"CSV, semicolons, {name}"


def test_plain_files_are_said_in_one_word(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nfür,x\n", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "für"}\n', "utf-8")
    assert (describe(tmp_path / "a.csv"), describe(tmp_path / "a.jsonl")) == ("CSV", "JSON lines")


def test_excel_gives_the_first_sheet_with_rows_with_dates_as_text(tmp_path: Path) -> None:
    import datetime

    book = openpyxl.Workbook()
    sheet = book.create_sheet("Tickets")
    sheet.append([])
    sheet.append(["id", "text", "label", "when"])
    for number, row in enumerate(ROWS):
        sheet.append([number, *row, datetime.datetime(2026, 1, number + 1)])
    sheet.append([])
    sheet.append([7, None, "card"])
    book.save(tmp_path / "t.xlsx")
    assert found(tmp_path / "t.xlsx") == [*ROWS, (None, "card")]
    line, record = next(iter_records(tmp_path / "t.xlsx", ["text"]))
    assert (line, record["when"]) == (3, "2026-01-01T00:00:00")


def test_json_array_and_nested_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(JSON_ROWS, indent=1))
    assert found(tmp_path / "a.json") == ROWS
    nested = [{"ticket": {"text": text}, "labels": [{"id": 1, "name": label}]} for text, label in ROWS]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in nested))
    assert found(tmp_path / "n.jsonl", "ticket.text", "labels.name") == [(text, [label]) for text, label in ROWS]
    assert list(open_source(tmp_path / "n.jsonl", "").columns()) == ["ticket.text", "labels.id", "labels.name"]
    pq.write_table(pa.Table.from_pylist(nested), tmp_path / "n.parquet")
    assert found(tmp_path / "n.parquet", "ticket.text", "labels.name") == [(text, [label]) for text, label in ROWS]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("stream", [False, True])
def test_names_of_classes_come_from_the_metadata(ending: str, stream: bool, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        pq.write_table(table(), path)
    else:
        write_arrow(path, stream)
    assert found(path) == ROWS
    assert [record["label"] for _, record in iter_records(path, ["label"])] == [0, 1, 0]  # as the steps read the file


# Exports


def write_saved(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_arrow(folder / "data-00000-of-00001.arrow", stream=True)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def test_hugging_face_folder_gives_its_rows_and_those_of_its_training_split(tmp_path: Path) -> None:
    write_saved(tmp_path / "set" / "train")
    assert found(tmp_path / "set" / "train") == ROWS
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    source = open_source(tmp_path / "set", "")
    assert (source.about, found(tmp_path / "set")) == ("Hugging Face, split 'train'", ROWS)


def test_folder_for_each_class_gives_its_files(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(ROWS):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / label / f"{number}.txt").write_bytes(f"{text} für\n".encode("cp1252"))
    assert found(tmp_path / "set") == sorted(((f"{text} für", label) for text, label in ROWS), key=lambda row: row[1])


def choices(*values: str) -> list[dict[str, Any]]:
    return [{"type": "choices", "from_name": "topic", "to_name": "text", "value": {"choices": list(values)}}]


JSON_EXPORTS: dict[str, list[dict[str, Any]]] = {
    "Label Studio": [
        {"id": 1, "data": {"text": text}, "annotations": [{"was_cancelled": False, "result": choices(label)}]}
        for text, label in ROWS
    ],
    "Label Studio JSON-MIN": [
        {"title": text, "id": 1, "topic": label, "annotator": 1, "annotation_id": 2, "lead_time": 1.5} for text, label in ROWS
    ],
    "Prodigy": [{"text": text, "_task_hash": 1, "accept": [label], "answer": "accept"} for text, label in ROWS],
    "Argilla": [
        {"id": "1", "status": "completed", "fields": {"text": text}, "responses": {"topic": [{"value": label}]}}
        for text, label in ROWS
    ],
}


@pytest.mark.parametrize("tool", JSON_EXPORTS)
@pytest.mark.parametrize("lines", [False, True])
def test_exports_of_labelling_tools_give_text_and_label(tool: str, lines: bool, tmp_path: Path) -> None:
    path = tmp_path / ("e.jsonl" if lines else "e.json")
    records = JSON_EXPORTS[tool]
    path.write_text("".join(json.dumps(one) + "\n" for one in records) if lines else json.dumps(records))
    assert (open_source(path, "").about, found(path)) == (tool, ROWS)


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"data": {"text": "a"}, "annotations": []}, None),
        ({"data": {"text": "a"}, "annotations": [{"was_cancelled": True, "result": choices("x")}]}, None),
        ({"data": {"text": "a"}, "annotations": [{"result": choices("x")}, {"result": choices("y", "z")}]}, ["y", "z"]),
        ({"text": "a", "_task_hash": 1, "accept": ["x"], "answer": "reject"}, None),
        ({"text": "a", "_task_hash": 1, "accept": [], "answer": "accept"}, None),
        ({"text": "a", "_task_hash": 1, "label": "x", "answer": "accept"}, "x"),
        ({"fields": {"text": "a"}, "responses": {}}, None),
        ({"fields": {"text": "a"}, "responses": {"q": [{"value": "x", "status": "discarded"}, {"value": "y"}]}}, "y"),
        ({"fields": {"text": "a"}, "responses": [{"values": {"q": {"value": "x"}}, "status": "submitted"}]}, "x"),
        ({"text": "a", "prediction": None, "annotation": "x", "status": "Validated"}, "x"),
    ],
)
def test_label_of_an_export_is_the_one_that_a_person_stands_by(record: dict[str, Any], label: Any, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps([record]))
    assert found(tmp_path / "e.json") == [("a", label)]


RASA = """\
version: "3.1"
nlu:
- intent: card
  examples: |
    - my [card](object) is lost
    - in [Berlin]{"entity": "city"}
- synonym: other
  examples: |
    - none
- intent: login
  examples:
  - text: let me in
"""


def test_intents_of_chat_bots_are_rows_without_marks_of_entities(tmp_path: Path) -> None:
    (tmp_path / "nlu.yml").write_text(RASA)
    assert found(tmp_path / "nlu.yml") == [("my card is lost", "card"), ("in Berlin", "card"), ("let me in", "login")]
    parts = [{"data": [{"text": text[:4]}, {"text": text[4:], "entity": "x"}]} for text, label in ROWS if label == "card"]
    (tmp_path / "snips.json").write_text(json.dumps({"intents": {"card": {"utterances": parts}}, "entities": {}}, indent=1))
    assert found(tmp_path / "snips.json") == [row for row in ROWS if row[1] == "card"]
    (tmp_path / "agent" / "intents").mkdir(parents=True)
    (tmp_path / "agent" / "intents" / "card_usersays_en.json").write_text(json.dumps(parts))
    assert found(tmp_path / "agent") == [row for row in ROWS if row[1] == "card"]


# Bad files


def zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/workbook.xml", b"0" * (excel.LARGEST_CONTENT + 1))
    return out.getvalue()


def workbook(*rows: list[Any]) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"text,label\n", "expected a readable Excel workbook, got BadZipFile"),
        ("t.xlsx", zip_bomb(), "expected a workbook of at most 268,435,456 bytes, unpacked"),
        ("t.xlsx", workbook()[:-40], "expected a readable Excel workbook"),
        ("t.xlsx", workbook(), "expected a first row with the names of the columns, got a workbook without any"),
        ("t.xlsx", workbook(["text", "label"], ["a", "b", "c"]), "line 2: expected 2 cells, got more"),
        ("t.xlsx", workbook(["body", "label"]), "expected a column 'text', got the columns 'body', 'label'"),
        ("t.json", b"[" * 100_000, "expected a JSON array of objects, or one JSON object a line, got too many values"),
        ("t.json", b'[{"text": "a"', "expected a JSON array of objects"),
        ("t.json", b'[{"text": "a", "label": "b"}, 7]', "record 2: expected a JSON object, got int"),
        ("t.json", b'{\n"text": "a"\n}', "expected a JSON object"),
        ("t.arrow", b"ARROW1 nothing", "expected a readable Arrow file"),
        ("t.arrow", b"", "expected a readable Arrow file"),
        ("nlu.yml", b"version: 1\n", "expected a file of Rasa NLU"),
        ("nlu.yml", b"nlu: [!!python/object/apply:os.system [ls]]\n", "expected"),
        ("s.json", b'{\n"intents": {"a": 1}, "entities": {}}', "expected a list of examples of an intent"),
        ("s.json", b'{\n"intents": {"a": {"utterances": [{"data": 1}]}}, "entities": {}}', "expected examples whose `data`"),
        ("t.pdf", b"%PDF", "expected a .csv, .tsv, .xlsx"),
    ],
)
def test_bad_file_is_one_error_that_names_it(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FsatError) as caught:
        found(path)
    assert isinstance(caught.value, DataError | TaskError)
    assert str(path) in str(caught.value)
    assert message in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_workbook_with_a_row_beyond_those_of_excel_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "LAST_ROW", 1000)
    (tmp_path / "good.xlsx").write_bytes(workbook(["text", "label"], ["a", "b"]))
    with zipfile.ZipFile(tmp_path / "good.xlsx") as good, zipfile.ZipFile(tmp_path / "far.xlsx", "w") as far:
        for name in good.namelist():
            far.writestr(name, good.read(name).replace(b'<row r="2"', b'<row r="99999999999"'))
    with pytest.raises(DataError, match="line 1001: expected rows and columns that Excel has, got one beyond them"):
        found(tmp_path / "far.xlsx")


@pytest.mark.parametrize("name", ["../outside.arrow", "/etc/passwd", "data.pickle"])
def test_state_of_a_hugging_face_folder_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    write_arrow(tmp_path / "outside.arrow", stream=True)
    write_saved(tmp_path / "set")
    (tmp_path / "set" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(DataError, match="expected the names of the data files"):
        found(tmp_path / "set")


def test_number_that_is_no_class_is_named(tmp_path: Path) -> None:
    made = table().set_column(1, "label", [[0, 1, 2]])
    pq.write_table(made.replace_schema_metadata(table().schema.metadata), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="line 3, column 'label': expected a number below 2, one for each class, got 2"):
        found(tmp_path / "t.parquet")


def test_deep_json_has_columns_of_a_few_levels(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": ' * 900 + "1" + "}" * 900)
    (column,) = open_source(tmp_path / "t.jsonl", "").columns()
    assert column == ".".join("a" * 11)


def test_json_value_without_an_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_records, "LARGEST_FILE", 1000)
    (tmp_path / "t.json").write_text(json.dumps(JSON_ROWS * 50, indent=1))
    with pytest.raises(DataError, match="expected at most 1,000 characters in one JSON value, got more"):
        found(tmp_path / "t.json")
