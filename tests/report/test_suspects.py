"""The file of suspected label errors: all of them, readable by a spreadsheet, and no text is a formula."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from browser import Tab
from fsat_tasks.report.suspects import label_errors, suspects_link
from fsat_tasks.tasks.task import load_task


def rows_of(link: str) -> list[dict[str, str]]:
    head, content = link.split(",")
    assert head == "data:text/csv;charset=utf-8;base64"
    return list(csv.DictReader(io.StringIO(base64.b64decode(content).decode("utf-8-sig"))))


def test_file_has_all_suspects_and_the_page_the_surest(make_task: Callable[..., str], toy_rows: list[tuple[str, str]]) -> None:
    samples = [
        {
            "line": i,
            "input": f"text {i}",
            "label": "a" if i % 2 else "b",
            "outputs": np.array([0.98, 0.02][:: 1 if i % 2 else -1]),
        }
        for i in range(200)
    ]
    for row in samples[:30]:
        row["label"] = "b" if row["label"] == "a" else "a"
    suspects = label_errors(samples, ["a", "b"])
    assert (suspects["count"], len(suspects["rows"]), suspects["of"]) == (30, 25, 200)
    assert {row["line"] for row in rows_of(suspects_link(suspects, load_task(make_task(toy_rows))))} == {
        str(i) for i in range(30)
    }


def test_file_holds_no_formula(make_task: Callable[..., str], toy_rows: list[tuple[str, str]]) -> None:
    evil = '=HYPERLINK("http://127.0.0.1","x")'
    suspects = {"all": [{"line": 7, "input": evil, "label": "@sum", "likelier": "ä", "probability": 0.987654}]}
    (row,) = rows_of(suspects_link(suspects, load_task(make_task(toy_rows))))
    assert row == {"line": "7", "text": f"'{evil}", "label": "'@sum", "likelier": "ä", "probability": "0.9877"}


def test_browser_saves_the_file_under_the_policy_of_the_page(
    make_task: Callable[..., str], toy_rows: list[tuple[str, str]], tab: Tab, tmp_path: Path
) -> None:
    suspects = {"all": [{"line": 7, "input": "a cat", "label": "a", "likelier": "b", "probability": 0.9}]}
    link = suspects_link(suspects, load_task(make_task(toy_rows)))
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'"
    page = tmp_path / "page.html"
    page.write_text(
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><a href="{link}" download="suspects.csv">Save</a>',
        "utf-8",
    )
    tab.open(page)
    tab.click("a")
    tab.wait("true")  # the page's answer comes after the browser's message
    (began,) = (event["params"] for event in tab.events if event["method"] == "Page.downloadWillBegin")
    assert began["suggestedFilename"] == "suspects.csv"
    assert tab.complaints() == []
