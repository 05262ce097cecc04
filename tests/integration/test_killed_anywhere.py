"""Runs and housekeeping that are killed at random moments, all processes or one child alone: the store stays whole.

FSAT_KILL_ROUNDS is the number of rounds, 3 by default. With FSAT_KILL_BODY=1 the runs fine-tune the encoder, in processes of
their own, on a task with a pool. FSAT_KILL_SEED draws other moments.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.call import kill_within
from benchmarks.faults.whole import damaged_artefacts, leave_rubbish, missing_artefacts
from benchmarks.open_gates import OPEN_GATES
from fsat_tasks.housekeeping.reachable import artefact_folders
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.registry import Registry
from fsat_tasks.steps.order import STEPS
from fsat_tasks.store import Store
from fsat_tasks.store.manifest import read_manifest
from json_result import result

DEMO = "support-intents"
ENDED = "ended with 0"
ROUNDS = int(os.environ.get("FSAT_KILL_ROUNDS", "3"))
BODY = os.environ.get("FSAT_KILL_BODY") == "1"
SEED = int(os.environ.get("FSAT_KILL_SEED", "0"))

log = logging.getLogger(__name__)

Row = tuple[str, str]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass
class Place:
    """A store in which the demo task is published, and a task `second`, whose runs get killed."""

    data: Path
    store: Path
    reference: dict[str, str]
    """Step -> digest for a dry run of `second` in another store, while housekeeping ran again and again."""
    seconds: dict[str, float]
    """Command -> seconds that it takes when nobody kills it."""
    beside: list[dict[str, Any]]
    """Reports of housekeeping while that run went on."""


def write_task(folder: Path, rows: list[Row]) -> None:
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"samples": "samples.csv", "gates": OPEN_GATES, "tune": {"body": "full" if BODY else "off"}}
    with (folder / "samples.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    if BODY:
        pool = [{"text": f"{text}, {word} or not"} for text, _ in rows for word in ("today", "perhaps", "really")]
        (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool), "utf-8")
        settings["unlabelled"] = "pool.jsonl"
    (folder / "task.yaml").write_text(json.dumps(settings), "utf-8")


def digests(answer: str) -> dict[str, str]:
    return {step: artefact["digest"] for step, artefact in result(answer)["tasks"][0]["steps"].items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, demo_store: Path, fsat: Run) -> Place:
    folder = tmp_path_factory.mktemp("anywhere")
    write_task(folder / "data" / "second", [(f"{text} {number}", label) for label, text in ROWS for number in NUMBERS])
    shutil.copytree(demo_store, folder / "store", copy_function=os.link)
    shutil.rmtree(folder / "store" / "encoder-int8")
    shutil.copytree(demo_store / "encoder-int8", folder / "store" / "encoder-int8")
    (int8,) = (Store(folder / "store").find("encoder-int8", path.name) for path in folder.glob("store/encoder-int8/??/*"))
    assert int8 is not None
    Store(folder / "store").keep_until(int8, time.time() + 86_400)  # nothing points to it: the rounds would make it again
    shutil.copytree(folder / "store", folder / "other", copy_function=os.link)
    started = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        run = pool.submit(fsat, "run", "second", "--dry-run", "--json", store=folder / "other", data=folder / "data")
        beside = []
        while not run.done():
            beside.append(housekeep(Store(folder / "other"), 0))
            time.sleep(0.2)
    ran = time.perf_counter()
    assert run.result().returncode == 0, run.result().stderr
    assert fsat("gc", "--keep-days", "0", store=folder / "other").returncode == 0
    seconds = {"run": ran - started, "gc": time.perf_counter() - ran}
    return Place(folder / "data", folder / "store", digests(run.result().stdout), seconds, beside)


ROWS = [("animal", "a cat and a dog in the yard"), ("number", "seven plus two is nine, and not"), ("travel", "a flight to room")]
NUMBERS = ("one", "two", "three", "four") if not BODY else tuple(f"number {i}, as ever" for i in range(12))


def assert_whole(place: Place) -> None:
    """Check that every folder under a final name is a whole artefact, and that all artefacts in the registry exist."""
    assert damaged_artefacts(place.store) == []
    assert [missing_artefacts(place.store, task) for task in (DEMO, "second")] == [[], []]
    assert Registry(place.store, DEMO).version() == 1


def start(place: Place, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fsat_tasks.cli", *command],
        env={**os.environ, "FSAT_DATA": str(place.data), "FSAT_STORE": str(place.store)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def step_reached(place: Place) -> str:
    steps = [folder.parent.parent.name for folder in artefact_folders(place.store)]
    return ", ".join(f"{step} {steps.count(step)}" for step in STEPS)


def test_run_beside_which_housekeeping_removes_all_that_is_not_in_use_makes_nothing_twice(place: Place) -> None:
    """Nothing points to the artefacts of a dry run: only its lease protects them, and nothing does once it has ended."""
    during = [report for report in place.beside if report["runs"]]
    assert len(during) > 3
    removed = [step for report in during for step in report["removed"] if step in STEPS]
    assert removed == []
    assert max(report["kept"].get("a run that goes on", {"count": 0})["count"] for report in during) >= len(STEPS) - 1
    left = {folder.parent.parent.name: folder for folder in artefact_folders(place.store.with_name("other"))}
    assert len([step for step in left if step in STEPS]) == len(STEPS)  # those of the demo task
    for step, digest in place.reference.items():
        assert read_manifest(left[step])[1]["digest"] != digest


def test_store_is_whole_after_every_kill_and_the_next_run_ends_as_if_nothing_had_been(place: Place, fsat: Run) -> None:
    draw = random.Random(SEED)
    for number in range(ROUNDS):
        verb = "gc" if number % 3 == 2 else "run"
        command = ["gc", "--keep-days", "0"] if verb == "gc" else ["run", "second"]
        leave_rubbish(place.store, number)
        after = draw.uniform(0, place.seconds[verb])
        ended = kill_within(start(place, command), after, alone=draw.random() < 0.5)
        log.info("%d: %s, %.1f of %.1f s: %s; %s", number, verb, after, place.seconds[verb], ended, step_reached(place))
        assert_whole(place)
        if verb == "run" and ended == ENDED:  # the next one has to work again
            shutil.rmtree(place.store / "registry" / "second")
            housekeep(Store(place.store), 0)
    last = fsat("run", "second", "--json", store=place.store, data=place.data)
    assert last.returncode == 0, last.stderr
    assert digests(last.stdout) == place.reference
    assert_whole(place)
    assert fsat("gc", "--keep-days", "0", store=place.store).returncode == 0
    assert list(place.store.glob("*/??/.*")) == []
    assert list(place.store.glob("rubbish/*/*")) == []
    assert_whole(place)
    assert json.loads(fsat("predict", "second", "a cat", store=place.store).stdout)["label"] in {"animal", "number", "travel"}
