"""Bad samples and query files: one line that names file, row and field, exit code 2, nothing written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_input import GOOD, assert_nothing_written, said_once

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


CASES: dict[str, tuple[str, bytes, str]] = {
    # name: the file, its content, what the error says after the file's name
    "empty file": ("s.csv", b"", ": expected a first line with the columns 'text', 'label', got an empty file."),
    "header alone": ("s.csv", b"text,label\n", ": expected rows, got a file without any."),
    "missing column": ("s.csv", b"text,class\na,b\n", ": expected a column 'label', got the columns 'text', 'class'."),
    "one class": ("s.csv", b"text,label\na cat,x\na dog,x\n", ": expected .*'classes'.* only 1 class .at least two"),
    "one shot": ("s.csv", GOOD + b"seven,number\n", ", line 6: expected .*'shots'.* fewer than 2 samples"),
    "blanks around a label": ("s.csv", GOOD + b"a hill,animal \n", ", line 6: .* blanks before or after the label"),
    "empty text": ("s.csv", GOOD + b",animal\n", ", line 6: .* no text"),
    "empty label": ("s.csv", GOOD + b"a hill,\n", ", line 6: .* no label"),
    "damaged UTF-8": (
        "s.csv",
        GOOD + "für,animal\n".encode() + b"caf\xe9,animal\n",
        ", line 7: expected UTF-8, got the byte 0xe9.",
    ),
    "half of UTF-16": ("s.csv", GOOD.decode().encode("utf-16")[:-1], ", line .* expected UTF-16, got the byte 0x"),
    "10 MB cell": ("s.csv", GOOD + b"x" * 10_000_000 + b",animal\n", ", line 6, column 'text': .* got 10,000,000"),
    "NUL byte": ("s.csv", GOOD + b"a\0b,animal\n", ", line 6, column 'text': expected text, got a NUL character"),
    "too many cells": ("s.csv", GOOD + b"a, b,animal\n", ", line 6: expected 2 cells, got 3"),
    "too few cells": ("s.csv", GOOD + b"a hill\n", ", line 6: .* no label"),
    "open quote": ("s.csv", GOOD + b'"a hill,animal\n', ", line 6: expected a CSV record"),
    "broken JSON": ("s.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a",\n', ", line 2: expected a JSON object"),
    "half a surrogate": ("s.jsonl", b'{"text": "\\ud83d", "label": "b"}\n', ", line 1, column 'text': expected text"),
    "truncated Parquet": ("s.parquet", parquet(text=["a"], label=["b"])[:-20], ": expected a readable Parquet file"),
    "line break in a label": (
        "s.csv",
        GOOD + b'a hill,"ani\nmal"\n',
        r", line 6: .* another control character in the label 'ani\\nmal'",
    ),
    "same text under two labels": ("s.csv", GOOD + b"A cat asleep!,travel\n", ", lines 2, 6: .* same text under two labels"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_samples_file_is_one_line_and_nothing_is_written(case: str, cli: Cli, data_root: Path, store_root: Path) -> None:
    name, content, message = CASES[case]
    folder = data_root / "task"
    folder.mkdir()
    (folder / name).write_bytes(content)
    (folder / "task.yaml").write_text(json.dumps({"samples": name}))
    err = said_once(cli("validate", "task"))
    assert re.match(re.escape(f"fsat: {folder / name}") + message, err), err
    assert_nothing_written(store_root)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            b"text,label\na goat,animal\nThe dog barks!,animal\n",
            ", line 3: expected .*'leakage'.* the samples .line 3.,",
        ),
        (b"text,label\na goat,animal\nseven,number\n", ", line 3: expected .*'unknown_label'.* a label that no sample has"),
        (b"text\na goat\n", ": expected a column 'label'"),
        (b"", ": expected a first line with the columns 'text', 'label', got an empty file"),
        (b"text,label\n", ": expected rows, got a file without any"),
    ],
)
def test_bad_query_file_is_the_one_that_is_named(
    query: bytes, message: str, cli: Cli, make_task: MakeTask, store_root: Path
) -> None:
    assert re.search("/query.csv" + message, said_once(cli("validate", make_task(GOOD, query=query))))
    assert_nothing_written(store_root)


def test_several_problems_are_one_line_with_all_of_them(cli: Cli, make_task: MakeTask, store_root: Path) -> None:
    err = said_once(cli("validate", make_task(GOOD + b"a hill,animal \n,travel\n", query=b"text,label\nseven,number\n")))
    assert re.search(r"samples.csv, line 7: .*no text\. Also: .*line 6: blanks before.*query.csv, line 2: a label that", err)


# Large input

MEASURED = """
import re, sys, time
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.tasks.task import load_task
run_steps(load_task(sys.argv[1]), "validate")
print(time.process_time(), re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def test_many_more_rows_than_meant_are_a_warning_within_time_and_memory(
    make_task: MakeTask, data_root: Path, tmp_path: Path
) -> None:
    """The run takes 7 s and 0.4 GB, of which the imports take 4 s and 0.3 GB."""
    task = make_task([(f"row {i} says hello to number {i * 7919 % 100_003}", f"class{i % 50}") for i in range(100_000)])
    process = subprocess.run(
        [sys.executable, "-c", MEASURED, task],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FSAT_DATA": str(data_root), "FSAT_STORE": str(tmp_path / "store")},
    )
    seconds, peak = process.stdout.split()[-2:]
    assert float(seconds) < 60
    assert int(peak) < 1_500_000  # kB; the peak that the system counts for a child has that of this process in it
    (findings,) = (tmp_path / "store").glob("validate/*/*/findings.json")
    crowd, size = json.loads(findings.read_text())
    assert {(each["severity"], each["file"]) for each in (crowd, size)} == {("warning", "samples")}
    assert (crowd["check"], size["check"]) == ("crowd", "size")
    assert "'class0' (2,000), 'class1' (2,000)" in crowd["message"]
    assert size["message"].startswith("100,000 rows, where few-shot sets have at most 50,000")
