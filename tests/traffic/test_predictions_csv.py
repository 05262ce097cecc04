"""Predictions as CSV: the file's own columns, then the answers, and no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import DataError
from fsat_tasks.tasks.task import Task
from fsat_tasks.traffic.labelling import PREDICTIONS, Labeller
from fsat_tasks.traffic.predictions_csv import PREDICTIONS_CSV, csv_adder, write_predictions_csv
from fsat_tasks.traffic.review import copy_result
from label_files import read_rows, write_texts

ANSWER = ["label", "guess", "probability", "margin", "in_scope", "abstained", "scope", "labels", "truncated"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", ".txt"])
def test_every_row_has_its_own_columns_and_its_answer(ending: str, task: Task, labeller: Labeller, tmp_path: Path) -> None:
    texts = ["one", "two; with a semicolon", "", "drei ü 🎉"]
    file = write_texts(tmp_path / f"new{ending}", texts)
    result = labeller.label(file)
    write_predictions_csv(task, file, result.path / PREDICTIONS, tmp_path / "p.csv")
    found = read(tmp_path / "p.csv")
    assert list(found[0]) == [*(["id"] if ending == ".csv" else []), "text", *ANSWER]
    assert [row["text"] for row in found] == texts
    for row, expected in zip(found, read_rows(result), strict=True):
        given, other = ("guess", "label") if expected["abstained"] else ("label", "guess")
        assert (row[given], row[other]) == (expected["label"] or "", "")
        assert row["labels"] == "|".join(expected["labels"] or [])
        assert row["abstained"] == json.dumps(expected["abstained"])
        assert expected["probability"] is None or float(row["probability"]) == pytest.approx(expected["probability"], abs=1e-5)


def test_column_of_the_same_name_stays_and_formulas_are_guarded(task: Task, labeller: Labeller, tmp_path: Path) -> None:
    file = tmp_path / "new.jsonl"
    rows: list[dict[str, Any]] = [
        {"text": "=1+1", "label": "mine", "amount": "-5", "more": {"a": 1}, "tags": ["x", "y"]},
        {"text": "two", "label": None, "late": 1},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_predictions_csv(task, file, labeller.label(file).path / PREDICTIONS, tmp_path / "p.csv")
    first, second = read(tmp_path / "p.csv")
    assert list(first)[:7] == ["text", "label", "amount", "more", "tags", "predicted_label", "guess"]
    assert list(first.values())[:5] == ["'=1+1", "mine", "-5", '{"a": 1}', "x|y"]
    assert list(second.values())[:5] == ["two", "", "", "", ""]


def test_file_without_rows_gives_a_file_without_rows(task: Task, labeller: Labeller, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "none.csv", [])
    write_predictions_csv(task, file, labeller.label(file).path / PREDICTIONS, tmp_path / "p.csv")
    assert read(tmp_path / "p.csv") == []


@pytest.mark.parametrize("later", [["one"], ["one", "two", "three"], []])
def test_file_that_has_other_rows_now_is_named(later: list[str], task: Task, labeller: Labeller, tmp_path: Path) -> None:
    file = write_texts(tmp_path / "new.csv", ["one", "two"])
    result = labeller.label(file)
    write_texts(file, later)
    with pytest.raises(DataError, match="expected the rows that were labelled, got other rows"):
        write_predictions_csv(task, file, result.path / PREDICTIONS, tmp_path / "p.csv")


def test_copy_has_the_csv_file_and_is_replaced_with_it(task: Task, labeller: Labeller, tmp_path: Path) -> None:
    file, out = write_texts(tmp_path / "new.csv", ["one", "two"]), tmp_path / "out"
    result = labeller.label(file)
    for _ in range(2):
        copy_result(result, out, csv_adder(task, file, result))
        assert len(read(out / PREDICTIONS_CSV)) == 2
        assert PREDICTIONS_CSV in json.loads((out / "artefact.json").read_text())["files"]
    copy_result(result, out)
    assert not (out / PREDICTIONS_CSV).exists()


def test_columns_of_one_name_are_all_there_under_names_of_their_own(task: Task, labeller: Labeller, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("text,a,a,label,predicted_label\none,1,2,3,4\n")
    write_predictions_csv(task, file, labeller.label(file).path / PREDICTIONS, tmp_path / "p.csv")
    (row,) = read(tmp_path / "p.csv")
    own = {"text": "one", "a": "1", "a (2)": "2", "label": "3", "predicted_label": "4"}
    assert dict(list(row.items())[:5]) == own
    assert list(row)[5:7] == ["predicted_predicted_label", "guess"]


@pytest.mark.parametrize("own", [{"o": "\ud800"}, {"o": {"inner": "\ud800"}}, {"\ud800": 1}])
def test_half_surrogate_in_an_own_column_is_named(own: dict[str, Any], task: Task, labeller: Labeller, tmp_path: Path) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text(json.dumps({"text": "hi", **own}))
    result = labeller.label(file)
    with pytest.raises(DataError, match=r"new\.jsonl, line 1, column '.*': expected text, got half of a surrogate pair"):
        write_predictions_csv(task, file, result.path / PREDICTIONS, tmp_path / "p.csv")
