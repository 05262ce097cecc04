"""The plugin that serves reports: who may see them, which ones there are, and with which headers.

Airflow itself runs in reports_process.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_call import call_airflow

KEY, NONE = "ab" + "0" * 62, "cd" + "0" * 62
REPORT, GONE = f"/reports/{KEY}", f"/reports/{NONE}"
MALFORMED = ["/reports/x", f"/reports/{KEY.upper()}", f"/reports/{KEY}0", f"/reports/{KEY}%0A"]
OUTSIDE = ["/reports/..%2F..%2Fmanifest.json", f"/reports/{KEY}/../../manifest.json", "/reports/", "/", "/docs", "/openapi.json"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("reports")
    report = folder / "store" / "publish" / "ab" / KEY / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<p>a report</p>", "utf-8")
    paths = [REPORT, GONE, *MALFORMED, *OUTSIDE]
    values = call_airflow("reports_process.py", folder, folder, folder / "store", paths).values
    assert values["prefix"] == "/fsat"
    answers: dict[str, dict[str, dict[str, Any]]] = values["said"]
    return answers


def test_who_may_see_runs_sees_the_report_in_a_sandbox_that_nobody_keeps(said: dict[str, Any]) -> None:
    answer = said["True"][REPORT]
    assert (answer["status"], answer["text"]) == (200, "<p>a report</p>")
    assert answer["headers"]["content-type"] == "text/html; charset=utf-8"
    assert answer["headers"]["content-security-policy"].startswith("sandbox allow-scripts allow-downloads; default-src 'none'; ")
    assert "allow-same-origin" not in answer["headers"]["content-security-policy"]
    assert answer["headers"]["cache-control"] == "private, no-store"


@pytest.mark.parametrize(("who", "status"), [("None", 401), ("False", 403)])
def test_nobody_else_learns_even_which_reports_there_are(said: dict[str, Any], who: str, status: int) -> None:
    assert {said[who][path]["status"] for path in (REPORT, GONE, *MALFORMED)} == {status}
    assert not any("a report" in answer["text"] for answer in said[who].values())


def test_only_a_key_is_looked_for(said: dict[str, Any]) -> None:
    assert said["True"][GONE]["status"] == 404
    assert NONE in said["True"][GONE]["text"]
    assert {said["True"][path]["status"] for path in MALFORMED} == {422}
    assert {said["True"][path]["status"] for path in OUTSIDE} == {404}
