"""The verb predict answers a text, a file or standard input, row by row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demo_run import TASK
from label_files import write_texts

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Cli = Callable[..., tuple[int, str, str]]


def test_predict_answers_lines_of_standard_input_in_order(demo_store: Path, fsat: Run) -> None:
    texts = ["my card has not arrived", "", "Ich wurde doppelt belastet 🎉", "charged twice"]
    result = fsat("predict", TASK, store=demo_store, input="\n".join(texts) + "\n")
    assert (result.returncode, result.stderr) == (0, "")
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["text"] for answer in answers] == texts
    assert answers[0]["label"] == "card_not_arrived"
    assert all(set(answer) == {"text", "label", "probability", "in_scope"} for answer in answers)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            b"good\ncaf\xe9\n",
            "fsat: standard input, line 2: expected UTF-8, got the byte 0xe9. Save it as UTF-8 (in Excel: CSV UTF-8).\n",
        )
    ],
)
def test_input_that_is_not_utf_8_is_named(given: bytes, message: str, demo_store: Path, fsat: Run) -> None:
    result = fsat("predict", TASK, store=demo_store, input=given)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)


def test_text_argument_that_is_not_utf_8_is_refused(demo_store: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    assert cli("predict", TASK, os.fsdecode(b"caf\xe9")) == (2, "", "fsat: text: expected UTF-8, got bytes that are not.\n")


def test_predict_answers_the_rows_of_a_file(demo_store: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    (tmp_path / "rows.csv").write_text("id,body\n1,my card has not arrived\n2,charged twice\n")
    code, out, _ = cli("predict", TASK, "--file", str(tmp_path / "rows.csv"), "--column", "body")
    assert (code, len(out.splitlines())) == (0, 2)
    capitals = (tmp_path / "rows.csv").rename(tmp_path / "ROWS.CSV")
    assert cli("predict", TASK, "--file", str(capitals), "--column", "body") == (0, out, "")
    code, _, err = cli("predict", TASK, "--file", str(tmp_path / "none.csv"))
    assert (code, err.startswith("fsat: --file: expected a file, got ")) == (2, True)
    code, _, err = cli("predict", TASK, "a text", "--file", str(tmp_path / "rows.csv"))
    assert (code, err) == (2, "fsat: fsat predict: expected a text or --file, got both.\n")


@pytest.mark.parametrize(
    ("name", "content"), [("n.csv", b"text\n"), ("n.jsonl", b""), ("n.jsonl", b"\n"), ("n.txt", b""), ("n.parquet", None)]
)
def test_file_without_rows_has_no_answers(
    name: str, content: bytes | None, demo_store: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSAT_STORE", str(demo_store))
    if content is None:
        write_texts(tmp_path / name, [])
    else:
        (tmp_path / name).write_bytes(content)
    assert cli("predict", TASK, "--file", str(tmp_path / name)) == (0, "", "")


def test_reader_that_goes_away_is_no_fault(demo_store: Path) -> None:
    command = f"yes card | head -3000 | {sys.executable} -m fsat_tasks.cli predict {TASK} | head -1; echo ${{PIPESTATUS[2]}}"
    environment = {**os.environ, "FSAT_STORE": str(demo_store)}
    result = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout.splitlines()[1] == "0"
