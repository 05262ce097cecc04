"""Bad input at the command line: one line on standard error that names file, row and field, exit code 2, nothing written."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., tuple[int, str, str]]
MakeTask = Callable[..., str]
Row = tuple[str, str]

GOOD = b"text,label\na cat asleep,animal\nthe dog barks,animal\nbook a flight,travel\nthe train leaves,travel\n"
MISSING = object()
ALL_BUT_8_KIB = (1 << 20) - (8 << 10)


def said_once(result: tuple[int, str, str]) -> str:
    """The error, after the checks that hold for every kind of bad input."""
    code, out, err = result
    assert (code, out) == (2, ""), err
    assert err.startswith("fsat: ")
    assert err.count("\n") == 1
    assert len(err) < 1500
    return err


def assert_nothing_written(store: Path) -> None:
    """No artefact, nothing half-written, no registry; empty folders do not matter, and no lock."""
    written = [path for path in store.rglob("*") if path.is_file() or path.name.startswith(".")]
    assert [path for path in written if path != store / "runs" / ".lock"] == []


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


CASES: dict[str, tuple[str, bytes, dict[str, Any], str]] = {
    # name: the file, its content, keys of task.yaml, what the error says after the file's name
    "empty file": ("s.csv", b"", {}, ": expected rows, got an empty file."),
    "header alone": ("s.csv", b"text,label\n", {}, ": expected rows, got a file without any."),
    "missing column": ("s.csv", b"text,class\na,b\n", {}, ": expected a column 'label', got the columns 'text', 'class'."),
    "one class": ("s.csv", b"text,label\na cat,x\na dog,x\n", {}, ": expected .*'classes'.* at least two classes .* found 1"),
    "one shot": ("s.csv", GOOD + b"seven,number\n", {}, ", line 6: expected .*'shots'.* fewer than 2 samples"),
    "blanks around a label": ("s.csv", GOOD + b"a hill,animal \n", {}, ", line 6: .* a label with blanks around it; remove them"),
    "empty text": ("s.csv", GOOD + b",animal\n", {}, ", line 6: .* no text"),
    "empty label": ("s.csv", GOOD + b"a hill,\n", {}, ", line 6: .* no label"),
    "not UTF-8": ("s.csv", GOOD + b"caf\xe9,animal\n", {}, ", line 6: expected UTF-8, got the byte 0xe9."),
    "UTF-16": ("s.csv", GOOD.decode().encode("utf-16"), {}, ", line 1: expected UTF-8, got the byte 0xff."),
    "10 MB cell": ("s.csv", GOOD + b"x" * 10_000_000 + b",animal\n", {}, ", line 6, column 'text': .* got 10,000,000"),
    "NUL byte": ("s.csv", GOOD + b"a\0b,animal\n", {}, ", line 6, column 'text': expected text, got a NUL character"),
    "too many cells": ("s.csv", GOOD + b"a, b,animal\n", {}, ", line 6: expected 2 cells, got 3"),
    "too few cells": ("s.csv", GOOD + b"a hill\n", {}, ", line 6: .* no label"),
    "open quote": ("s.csv", GOOD + b'"a hill,animal\n', {}, ", line 6: expected a CSV record"),
    "broken JSON": ("s.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a",\n', {}, ", line 2: expected a JSON object"),
    "half a surrogate": ("s.jsonl", b'{"text": "\\ud83d", "label": "b"}\n', {}, ", line 1, column 'text': expected text"),
    "truncated Parquet": ("s.parquet", parquet(text=["a"], label=["b"])[:-20], {}, ": expected a readable Parquet file"),
    "same text under two labels": ("s.csv", GOOD + b"A cat asleep!,travel\n", {}, ", line 2, 6: .* same text under two labels"),
    "unknown key": ("task.yaml", GOOD, {"qurey": "q.csv"}, ": qurey: .* an unknown key. Did you mean 'query'?"),
    "unknown key inside": ("task.yaml", GOOD, {"gates": {"max_ecf": 1}}, ": gates.max_ecf: .* Did you mean 'max_ece'?"),
    "wrong type": ("task.yaml", GOOD, {"shots": "five"}, ": shots: expected a valid integer, got 'five'"),
    "missing key": ("task.yaml", GOOD, {"samples": MISSING}, ": samples: expected this key, got nothing"),
    "missing file": ("task.yaml", GOOD, {"query": "q.csv"}, ": query: expected a file in .*, got 'q.csv', which is not there"),
    "file outside": ("task.yaml", GOOD, {"query": "../q.csv"}, ": query: expected a file inside .*, got '../q.csv'"),
    "file by absolute path": ("task.yaml", GOOD, {"query": "/q.csv"}, ": query: expected a file inside .*, got '/q.csv'"),
    "class that no sample has": ("task.yaml", GOOD, {"classes": {"anmal": "x"}}, ": classes.anmal: .* Labels there: animal"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_task_is_one_line_and_nothing_is_written(case: str, cli: Cli, data_root: Path, store_root: Path) -> None:
    blamed, content, keys, message = CASES[case]
    folder = data_root / "task"
    folder.mkdir()
    name = blamed if blamed != "task.yaml" else "s.csv"
    (folder / name).write_bytes(content)
    values = {key: value for key, value in {"samples": name, **keys}.items() if value is not MISSING}
    (folder / "task.yaml").write_text(json.dumps(values))
    err = said_once(cli("validate", "task"))
    assert re.match(re.escape(f"fsat: {folder / blamed}") + message.replace("?", r"\?"), err), err
    assert_nothing_written(store_root)


def test_duplicate_key_is_named_with_its_line(cli: Cli, make_task: MakeTask, data_root: Path, store_root: Path) -> None:
    task = make_task(GOOD)
    (data_root / task / "task.yaml").write_text("samples: samples.csv\nseed: 1\nseed: 2\n")
    assert 'task.yaml, line 3: expected valid YAML, got found duplicate key "seed"' in said_once(cli("validate", task))
    assert_nothing_written(store_root)


def test_link_out_of_the_folder_is_refused(cli: Cli, make_task: MakeTask, data_root: Path, store_root: Path) -> None:
    task = make_task(GOOD, query="q.csv")
    (data_root / "secret.csv").write_bytes(GOOD)
    (data_root / task / "q.csv").symlink_to("../secret.csv")
    assert "query: expected a file inside" in said_once(cli("validate", task))
    assert_nothing_written(store_root)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"text,label\na goat,animal\nThe dog barks!,animal\n", ", line 3: expected .*'leakage'.* also among the samples"),
        (b"text,label\na goat,animal\nseven,number\n", ", line 3: expected .*'unknown_label'.* a label that no sample has"),
        (b"text\na goat\n", ": expected a column 'label'"),
        (b"", ": expected rows, got an empty file"),
    ],
)
def test_bad_query_file_is_the_one_that_is_named(
    query: bytes, message: str, cli: Cli, make_task: MakeTask, store_root: Path
) -> None:
    assert re.search("/query.csv" + message, said_once(cli("validate", make_task(GOOD, query=query))))
    assert_nothing_written(store_root)


def test_several_problems_are_one_line_with_all_of_them(cli: Cli, make_task: MakeTask, store_root: Path) -> None:
    err = said_once(cli("validate", make_task(GOOD + b"a hill,animal \n,travel\n", query=b"text,label\nseven,number\n")))
    assert re.search(
        r"samples.csv, line 7: .*no text\. Also: .*line 6: a label with blanks.*query.csv, line 2: a label that", err
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "/etc"])
@pytest.mark.parametrize("verb", ["run", "validate", "predict", "status"])
def test_task_name_that_is_a_path_is_refused(name: str, verb: str, cli: Cli, data_root: Path, store_root: Path) -> None:
    if verb == "predict":
        assert f"task name {name!r}" in said_once(cli(verb, name, "text"))
    else:
        assert f"task name {name!r}" in said_once(cli(verb, name))
    assert_nothing_written(store_root)


def test_task_that_is_not_there_is_named_with_those_that_are(cli: Cli, make_task: MakeTask, store_root: Path) -> None:
    task = make_task(GOOD)
    assert f"Tasks there: {task}. Make one with: fsat init other" in said_once(cli("run", "other"))
    assert_nothing_written(store_root)


@pytest.mark.parametrize(("name", "message"), [("org/nowhere", "got none of that name"), ("../x", "got something else")])
def test_encoder_that_is_not_on_this_machine_is_named_and_nothing_is_fetched(
    name: str, message: str, cli: Cli, make_task: MakeTask, store_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("fsat went to the network"))
    task = make_task(GOOD)
    code, _, err = cli("extract", task, "--encoder", name)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("fsat: ")]
    assert f"encoder {name!r}: expected " in line
    assert message in line
    assert_nothing_written(store_root)


def test_out_folder_that_is_a_file_or_has_other_files_is_left_as_it_is(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(GOOD)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "folder"):
        code, _, err = cli("validate", task, "--out", str(out))
        assert code == 2
        assert err.splitlines()[-1].startswith(f"fsat: --out {out}: expected ")
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "file").read_text() == "mine"


# Stores that cannot be written


def assert_store_refused(result: tuple[int, str, str] | subprocess.CompletedProcess[str], store: Path) -> None:
    if isinstance(result, subprocess.CompletedProcess):
        result = result.returncode, result.stdout, result.stderr
    assert said_once(result).startswith(f"fsat: store {store}: expected a folder that can be written, got ")


def test_store_below_a_file_is_refused(fsat: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_store_refused(fsat("run", "support-intents", store=tmp_path / "file" / "store"), tmp_path / "file" / "store")
    assert (tmp_path / "file").read_bytes() == b""
    assert fsat("status", store=tmp_path / "file" / "store").returncode == 0
    assert "expected a published model, got none yet" in fsat("predict", "support-intents", "x", store=tmp_path / "file").stderr


def test_read_only_store_is_refused(cli: Cli, make_task: MakeTask, read_only_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(read_only_disk))
    assert_store_refused(cli("validate", make_task(GOOD)), read_only_disk)


def test_full_store_is_refused(cli: Cli, make_task: MakeTask, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(GOOD)
    (small_disk / "filler").write_bytes(b"x" * ALL_BUT_8_KIB)
    monkeypatch.setenv("FSAT_STORE", str(small_disk))
    assert_store_refused(cli("validate", task), small_disk)
    (small_disk / "filler").unlink()
    assert_nothing_written(small_disk)
    assert cli("validate", task)[0] == 0


def test_limit_on_the_size_of_files_is_refused(
    fsat: Callable[..., Any], make_task: MakeTask, data_root: Path, tmp_path: Path
) -> None:
    task = make_task(GOOD)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    assert_store_refused(fsat("validate", task, store=tmp_path / "store", data=data_root, preexec_fn=limit), tmp_path / "store")
    assert_nothing_written(tmp_path / "store")


@pytest.mark.parametrize("step", ["tune", "evaluate", "export", "publish"])
def test_each_later_step_refuses_a_full_store(step: str, demo_copy: Path, small_disk: Path) -> None:
    from fsat_tasks.errors import StoreError
    from fsat_tasks.runs.run import Run
    from fsat_tasks.steps.order import STEPS
    from fsat_tasks.steps.pipeline import run_steps
    from fsat_tasks.store import Artefact, Store
    from fsat_tasks.tasks.task import load_task

    whole = Store(demo_copy)

    class FullStore(Store):
        """Has what the steps before made, and no room."""

        def find(self, name: str, key: str) -> Artefact | None:
            return None if name == step else whole.find(name, key)

    task = load_task("support-intents")
    artefacts = run_steps(task)
    (small_disk / "filler").write_bytes(b"x" * ALL_BUT_8_KIB)
    with pytest.raises(StoreError, match="expected a folder that can be written"):
        STEPS[step](Run(task, FullStore(small_disk), artefacts))
    (small_disk / "filler").unlink()
    assert_nothing_written(small_disk)


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
    """Measured: 7 s and 0.4 GB, of which the imports are 4 s and 0.3 GB."""
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
    (finding,) = json.loads(findings.read_text())
    assert (finding["check"], finding["severity"], finding["file"]) == ("size", "warning", "samples")
    assert finding["message"].startswith("100,000 rows, where few-shot sets have at most 50,000")
