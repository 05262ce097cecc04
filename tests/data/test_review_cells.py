"""Cells of review.csv: no spreadsheet takes them for a formula, and every text comes back as it was."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsat_tasks.data.formats.registry import iter_records
from fsat_tasks.data.readers import read_rows
from fsat_tasks.data.review_cells import FORMULA, guard, unguard_review
from fsat_tasks.inputs.modalities import RowFormat
from fsat_tasks.inputs.text import Texts
from fsat_tasks.traffic.review import Doubt, Review

STARTS = [
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
    "'",
    "''",
    "'=",
    "''=",
    "' =",
    " =",
    "\u3000=",
    "\u200b=",
    "\ufeff-",
    "a",
    "",
]
texts = st.builds(
    str.__add__, st.sampled_from(STARTS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)


@pytest.mark.parametrize(
    "formula",
    [
        '=HYPERLINK("http://127.0.0.1/?x="&A1,"click")',
        "@SUM(1+1)",
        "-2+3+cmd|' /C calc'!A0",
        "+1",
        "\t=1",
        "\r=1",
        "＝1+1",
        " =1",
        "\u200b=1+1",
        "\ufeff=1+1",
        " \u2060\u00ad@SUM(1)",
    ],
)
def test_formula_gets_an_apostrophe(formula: str) -> None:
    assert guard(formula) == f"'{formula}"


@pytest.mark.parametrize("plain", ["hello", "1 - 2", "'quoted' words", "a=b", "", "#1", "'"])
def test_other_cells_stay_as_they_are(plain: str) -> None:
    assert guard(plain) == plain


@given(texts)
def test_no_cell_that_is_written_begins_as_a_formula(text: str) -> None:
    written = guard(text)
    assert written.startswith("'") or not FORMULA.match(written)


def unguarded(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((line, unguard_review(record)) for line, record in iter_records(path, columns))


def by_review(rows: list[str], label: str) -> list[tuple[str | None, str | None]]:
    """Texts that went into review.csv, were given a label there, and were read from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.csv"
        review = Review(Texts())
        review.doubts.add(Doubt(0.1, row, label, 0.5, "unsure") for row in rows)
        review.write(path)
        path.chmod(0o644)
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file)
        with path.open("w", encoding="utf-8", newline="") as file:  # as a spreadsheet saves it
            csv.writer(file).writerows([header, *([text, suggested, suggested, *rest] for text, _, suggested, *rest in lines)])
        read = read_rows(path, RowFormat(Texts(), "text", 10_000), "label", records=unguarded)
        return list(zip(read.inputs, read.labels, strict=True))


@given(st.lists(texts.filter(str.strip), min_size=1, max_size=6, unique=True), texts.filter(str.strip))
def test_any_text_and_label_survive_the_way_through_review_csv(rows: list[str], label: str) -> None:
    assert sorted(by_review(rows, label), key=str) == sorted(((row, label) for row in rows), key=str)


def test_apostrophe_of_a_table_that_is_no_review_stays() -> None:
    assert unguard_review({"text": "'=1", "label": "'-1"}) == {"text": "'=1", "label": "'-1"}
