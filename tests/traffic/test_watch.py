"""The step watch on the demo task's champion and on champions of small tasks."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.open_gates import OPEN_GATES
from fsat_tasks.errors import DataError, RegistryError
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Store
from fsat_tasks.tasks.task import Task, load_task
from fsat_tasks.traffic.watch import drift_event, first_alarm, watch_traffic
from json_result import result

ROOT = Path(__file__).parents[2]
NAME = "support-intents"
Row = tuple[str, str]
OPEN = OPEN_GATES | {"max_drop": 1.0}
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def demo(demo_copy: Path, data_root: Path) -> Task:
    """The demo task with a champion, in a folder and a store of this test's own."""
    shutil.copytree(ROOT / "data" / NAME, data_root / NAME)
    return load_task(NAME)


def texts_of(file: str) -> list[str]:
    return [json.loads(line)["text"] for line in (ROOT / "data" / NAME / file).read_text("utf-8").splitlines()]


def half_of_the_classes() -> list[str]:
    """Query rows of every second class. About half of the pool's rows are of the other classes.

    The query rows of all classes would be too like the pool: it has more rows of some classes than of others, but not many more.
    """
    rows = [json.loads(line) for line in (ROOT / "data" / NAME / "query.jsonl").read_text("utf-8").splitlines()]
    kept = set(sorted({row["label"] for row in rows})[::2])
    return [row["text"] for row in rows if row["label"] in kept]


def traffic(task: Task, texts: list[str], name: str = "traffic.jsonl") -> Path:
    path = task.folder / name
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every attempt to open an encoder fail."""

    def refuse(*_: object) -> None:
        raise AssertionError("a text was encoded")

    monkeypatch.setattr(Run, "open_encoder", refuse)


def test_rows_like_the_pools_are_no_drift_and_known_texts_cost_no_encoder_time(
    demo: Task, store_root: Path, no_encoder: None
) -> None:
    pool = texts_of("unlabelled.jsonl")
    rows = np.random.default_rng(0).permutation(len(pool))[:300]
    watched = watch_traffic(demo, Store(store_root), traffic(demo, [pool[i] for i in rows]))
    drift = watched.json("drift.json")
    assert not drift["drift"] and watched.manifest["notes"]["drift"] is False
    assert drift["reference"]["kind"] == "unlabelled"
    assert [test["test"] for test in drift["tests"]] == ["features", "scope", "labels"]
    assert sum(row["window"] for row in drift["classes"]) == pytest.approx(1.0)


def test_other_class_shares_are_drift_that_is_told_of_once(demo: Task, store_root: Path, no_encoder: None) -> None:
    store = Store(store_root)
    texts = half_of_the_classes()
    file = traffic(demo, texts)
    watched = watch_traffic(demo, store, file)
    drift = watched.json("drift.json")
    assert {test["test"] for test in drift["tests"] if test["drift"]} >= {"labels"}
    assert drift["total_variation"]["low"] > 0
    event = drift_event(demo, watched, file)
    assert (event["task"], event["unlabelled"]) == (NAME, "traffic.jsonl")
    again = watch_traffic(demo, store, traffic(demo, texts, "under-another-name.jsonl"))
    assert (again.key, again.built) == (watched.key, False)
    assert [first_alarm(store, watched), first_alarm(store, again)] == [True, False]
    assert first_alarm(store, watch_traffic(demo, store, traffic(demo, texts[1:])))


def test_texts_of_other_kinds_are_out_of_scope_and_drift(demo: Task, store_root: Path) -> None:
    drift = watch_traffic(demo, Store(store_root), traffic(demo, texts_of("out_of_scope.jsonl"))).json("drift.json")
    assert all(test["drift"] for test in drift["tests"])
    assert drift["out_of_scope"]["window"] > 0.4 > drift["out_of_scope"]["reference"]
    scores = [row["scope"] for row in drift["unlike"]]
    assert len(scores) == 10 and scores == sorted(scores)
    assert {row["text"] for row in drift["unlike"]} <= set(texts_of("out_of_scope.jsonl"))


def test_samples_in_the_window_do_not_count(demo: Task, store_root: Path, no_encoder: None) -> None:
    with (demo.folder / "samples.csv").open(encoding="utf-8") as file:
        samples = [row["text"] for row in csv.DictReader(file)]
    with pytest.raises(DataError, match="two rows or more that are no samples"):
        watch_traffic(demo, Store(store_root), traffic(demo, samples))


def test_champion_whose_steps_are_gone_is_made_again_first(demo: Task, store_root: Path) -> None:
    shutil.rmtree(store_root / "tune")
    with pytest.raises(RegistryError, match=r"tune .* fsat run support-intents makes it again if the data"):
        watch_traffic(demo, Store(store_root), traffic(demo, texts_of("query.jsonl")))


NEW: list[Row] = [
    ("a cow eats grass", "animal"),
    ("three times three", "number"),
    ("a boat to Crete", "travel"),
    ("the cat chased a bird", "animal"),
    ("eleven minus four", "number"),
    ("pack for the trip", "travel"),
]


@pytest.mark.parametrize(("files", "kind"), [({}, "samples"), ({"query": NEW}, "query")])
def test_champion_without_a_pool_is_compared_by_its_query_rows_or_its_samples(
    files: dict[str, Any], kind: str, make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path
) -> None:
    task = load_task(make_task(toy_rows, gates=OPEN, **files))
    run_steps(task)
    drift = watch_traffic(task, Store(encoder_store), traffic(task, [text for text, _ in NEW])).json("drift.json")
    assert drift["reference"]["kind"] == kind
    assert kind != "samples" or "picked by hand" in drift["reference"]["says"]
    assert ("labels" in {test["test"] for test in drift["tests"]}) == (kind == "query")
    assert (drift["total_variation"] is None) == (kind == "samples")
    assert not drift["drift"]


def test_exit_codes_and_what_is_shown(demo: Task, cli: Cli) -> None:
    file = str(traffic(demo, half_of_the_classes()))
    code, out, _ = cli("watch", NAME, file)
    assert code == 4
    assert out.startswith(f"{NAME}: drift\n") and "class shares that moved most" in out
    assert "least like the samples:\n" in out and "these are few" not in out
    code, out, _ = cli("watch", NAME, file, "--json")
    assert code == 4 and result(out)["drift"] is True
    code, out, _ = cli("watch", NAME, str(demo.folder / "unlabelled.jsonl"))
    assert code == 0 and "no drift" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([NAME], "watch.traffic: expected"), ([NAME, "gone.csv"], "which is not there"), (["other"], "task 'other'")],
)
def test_bad_input_is_exit_code_2(arguments: list[str], said: str, demo: Task, cli: Cli) -> None:
    code, out, error = cli("watch", *arguments)
    assert (code, out) == (2, "") and said in error


def test_task_without_a_champion_is_bad_input(make_task: Callable[..., str], toy_rows: list[Row], cli: Cli) -> None:
    name = make_task(toy_rows, query=NEW, watch={"traffic": "query.csv"})
    code, _, error = cli("watch", name)
    assert code == 2 and "a published model, got none yet" in error
