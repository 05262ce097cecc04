"""The count of what faults of the machine lose: a loss is seen, a kill is a kill, and a call that says nothing clear is told."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults.bench import Bench
from benchmarks.faults.call import Answer
from benchmarks.faults.inject import CLOCK, COUNT, Fault
from benchmarks.faults.kinds import HOUR, compile_clock, killed
from benchmarks.faults.losses import KINDS_OF_LOSS, find_losses, look
from benchmarks.faults.page import page
from benchmarks.faults.place import TASK, VERBS, Place
from benchmarks.faults.rounds import Round, failed, rows_of
from fsat_tasks.registry.registry import Registry
from promoted_models import build

WELL = Answer(0, "done", "")
REFUSED = Answer(2, "", "fsat: store /x: expected a folder that can be written, got No space left on device.\n")
BROKEN = Answer(1, "", 'Traceback (most recent call last):\n  File "x"\nOSError: no\n')
NOTHING_LOST: dict[str, list[str]] = {kind: [] for kind in KINDS_OF_LOSS}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place with models of a few bytes: version 2 is the champion."""
    place = Place(tmp_path / "template")
    place.samples.parent.mkdir(parents=True)
    for path, rows in ((place.samples, [("a wave", "sea")]), (place.added, [("a tree", "wood"), ("a tram", "town")])):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    (place.samples.parent / "task.yaml").write_text("samples: samples.csv\n", "utf-8")
    place.clone.mkdir()
    registry = Registry(place.store, TASK)
    for number in (1, 2):
        assert registry.record(*build(place.store, number), registry.version()) == "promoted"
    return place


def test_killed_promotions_and_rollbacks_lose_nothing_and_end_well_when_called_again(place: Place, tmp_path: Path) -> None:
    bench = Bench(place, tmp_path, rounds=2, every=1, seed=0)
    rounds = list(killed(bench, (VERBS["promote"], VERBS["rollback"])))
    rows = rows_of(rounds)
    assert [(row["what"], row["rounds"], row["then_ended_well"]) for row in rows] == [("promote", 2, 2), ("rollback", 2, 2)]
    assert [one.answers[0].code for one in rounds if "at write" in one.fault] == [-signal.SIGKILL] * 2
    assert not any(failed(row) for row in rows)
    assert find_losses(place, look(place)) == NOTHING_LOST  # no round has touched the place that it copied
    assert [path.name for path in tmp_path.iterdir()] == ["template"]


def append(path: Path, rows: list[str]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(row + "\r\n" for row in rows))


def drop_line(place: Place) -> None:
    path = place.store / "registry" / TASK / "history.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n")[1] + b"\n")


def model(place: Place) -> Path:
    return next(place.store.glob("export/*/*/model.onnx"))


LOSSES: dict[str, tuple[Callable[[Place], object], str]] = {
    "half an artefact": (lambda place: model(place).write_text(""), "artefacts"),
    "an artefact set aside": (lambda place: (place.store / "corrupt" / "x").mkdir(parents=True), "artefacts"),
    "no model": (lambda place: shutil.rmtree(model(place).parent), "artefacts"),
    "a line": (drop_line, "registry lines"),
    "the registry": (lambda place: shutil.rmtree(place.store / "registry"), "champion"),
    "the pointer's text": (lambda place: (place.store / "registry" / TASK / "champion.json").write_text("{"), "champion"),
    "no samples": (lambda place: place.samples.unlink(), "samples"),
    "half of the new rows": (lambda place: append(place.samples, ["a tree,wood"]), "samples"),
    "new rows twice": (lambda place: append(place.samples, ["a tree,wood", "a tram,town"] * 2), "samples"),
    "task.yaml": (lambda place: (place.samples.parent / "task.yaml").unlink(), "files beside the store"),
    "half a copy": (lambda place: append(copy_of(place) / "review.csv", ["x"]), "files beside the store"),
}


def copy_of(place: Place) -> Path:
    folder = place.out / "traffic.csv"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("what", LOSSES)
def test_loss_is_found(what: str, place: Place) -> None:
    lose, kind = LOSSES[what]
    before = look(place)
    lose(place)
    lost = find_losses(place, before)
    assert lost[kind] != []
    (row,) = rows_of([Round("promote", "killed", [WELL], [WELL], lost)])
    assert row["lost"][kind] == 1
    assert row["findings"][0]["lost"][kind] == lost[kind]
    assert failed(row)


def test_all_new_rows_of_a_call_are_no_loss(place: Place) -> None:
    before = look(place)
    append(place.samples, ["a tree,wood", "a tram,town"])
    assert find_losses(place, before) == NOTHING_LOST


@pytest.mark.parametrize(
    ("answers", "then", "tracebacks", "unclear"),
    [
        ([WELL, REFUSED], [WELL], 0, 0),
        ([Answer(-signal.SIGKILL, "", "")], [WELL], 0, 0),
        ([BROKEN], [WELL], 1, 1),
        ([WELL], [Answer(1, "", "")], 0, 1),
        ([WELL], [Answer(-signal.SIGKILL, "", "")], 0, 1),
    ],
    ids=["one sentence", "killed", "traceback", "silent", "hung"],
)
def test_call_that_is_not_clear_is_counted(answers: list[Answer], then: list[Answer], tracebacks: int, unclear: int) -> None:
    (row,) = rows_of([Round("run", "a fault", answers, then, NOTHING_LOST)])
    assert (row["tracebacks"], row["unclear"]) == (tracebacks, unclear)
    assert failed(row) == bool(unclear)
    assert row["exit_codes"] == {"killed" if answer.code < 0 else str(answer.code): 1 for answer in answers}


def test_sentence_is_told_without_what_differs_from_call_to_call() -> None:
    said = f"fsat: model {'0a' * 8} of task 'small': expected a file, got none at /tmp/x-1/round-17/store/export. Do it again.\n"
    assert Answer(2, "", said).sentence == "model … of task 'small': expected a file, got none at store/export. Do it again."


def test_page_counts_each_round_once_and_says_why_a_kind_was_not_measured() -> None:
    facts = {"machine": {"cpu": "a cpu", "cores": 2}, "commit": "abc", "load_average": 1.0, "options": {"rounds": 3}}
    lost = {**NOTHING_LOST, "artefacts": ["x"], "samples": ["all"]}
    rows = rows_of([Round("run", "x", [REFUSED], [WELL], lost), Round("run", "y", [WELL], [WELL], NOTHING_LOST)])
    shown = page({"killed": {**facts, "rows": rows}, "full": {**facts, "skipped": "no mounts here"}})
    assert "half at a random write | `--rounds 3` | 2 | 1 | 0 | 0 | 2 of 2 |" in shown
    assert "of several sizes | none: no mounts here | 0 | 0 | 0 | 0 | not run |" in shown
    assert "| run | 2 | 2: 1, 0: 1 | 1 | 0 | 0 | 1 | 0 | 0 | 2 of 2 |" in shown
    assert "- 1: `store /x: expected a folder that can be written" in shown


REFUSE = """
import json, sys
from pathlib import Path
from benchmarks.faults.inject import CLOCK, COUNT, Fault, install
install(Fault(**json.loads(sys.argv[1])))
below = Path(sys.argv[2])
(below.parent / "elsewhere").mkdir()
(below / "first").mkdir()
try:
    (below / "second").write_text("x")
except OSError as error:
    print(error.errno, error.filename)
"""


def inject(fault: Fault) -> str:
    """Make folders and a file in a process with a fault, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", REFUSE, fault.to_json(), fault.below]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def below(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_write_of_that_number_below_the_folder_is_refused(below: Path) -> None:
    assert inject(Fault("EIO", str(below), at=2)) == f"{errno.EIO} {below / 'second'}"
    assert [path.name for path in below.iterdir()] == ["first"]


def test_writes_below_the_folder_are_counted(below: Path) -> None:
    inject(Fault(COUNT, str(below), file=str(below.parent / "count")))
    assert (below.parent / "count").read_text() == "2"


SHOW = """
import datetime, os, sys, time
for _ in range(2):
    print(time.time(), datetime.datetime.now().timestamp())
    if os.path.exists(sys.argv[1]):
        os.unlink(sys.argv[1])
start = time.monotonic()
time.sleep(0.1)
assert 0.1 <= time.monotonic() - start < 60
"""


def test_clock_goes_back_by_an_hour_when_its_file_is_removed_at_the_write_of_that_number(below: Path) -> None:
    ahead, library = below.parent / "ahead", below.parent / "clock.so"
    ahead.touch()
    inject(Fault(CLOCK, str(below), at=3, file=str(ahead)))
    assert ahead.exists()
    (below.parent / "elsewhere").rmdir()
    (below / "first").rmdir()
    inject(Fault(CLOCK, str(below), at=2, file=str(ahead)))
    assert not ahead.exists()
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    compile_clock(library)
    ahead.touch()
    environment = {**os.environ, "LD_PRELOAD": str(library), "CLOCK_AHEAD": str(ahead)}
    command = [sys.executable, "-c", SHOW, str(ahead)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    for before, after in zip(*(map(float, line.split()) for line in printed), strict=True):
        assert before - after == pytest.approx(HOUR, abs=60)
