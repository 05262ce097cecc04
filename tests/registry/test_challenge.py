"""A challenger and the champion on the same rows: noise is held, a gain is promoted, and the same run decides the same."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsat_tasks.registry.challenge import choose_opponent, compare_with_champion
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runs.run import Run
from fsat_tasks.steps.pipeline import run_steps
from fsat_tasks.store import Artefact, Store
from fsat_tasks.tasks.task import load_task

Row = tuple[str, str]
OPEN = {"min_accuracy": 0, "min_macro_f1": 0, "min_class_recall": 0, "max_ece": 1, "min_coverage": 0}
WORDS = {
    "the {} eats in the barn": ("cow", "hen", "dog", "pig", "ox", "goat", "duck", "sheep"),
    "{} times four is how much": ("one", "two", "three", "five", "six", "nine", "ten", "twelve"),
    "a {} to the coast on Sunday": ("bus", "train", "flight", "ferry", "taxi", "tram", "boat", "hike"),
}
QUERY = [
    (text.format(word), label)
    for (text, words), label in zip(WORDS.items(), ("animal", "number", "travel"), strict=True)
    for word in words
]


@pytest.fixture
def wrong_rows(toy_rows: list[Row]) -> list[Row]:
    """Return the samples with the labels moved on by one class."""
    return [(text, {"animal": "number", "number": "travel", "travel": "animal"}[label]) for text, label in toy_rows]


def write_samples(data_root: Path, task: str, rows: list[Row]) -> None:
    lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
    (data_root / task / "samples.csv").write_text("\n".join(lines), "utf-8")


def run(task: str) -> tuple[dict[str, Any], Artefact]:
    published = run_steps(load_task(task))["publish"]
    return published.json("decision.json"), published


def gate(published: Artefact, name: str = "champion") -> dict[str, Any] | None:
    return next((gate for gate in published.json("decision.json")["gates"] if gate["gate"] == name), None)


def test_first_model_has_nobody_to_beat_and_the_next_must_be_better(
    make_task: Callable[..., str], toy_rows: list[Row], wrong_rows: list[Row], encoder_store: Path, data_root: Path
) -> None:
    task = make_task(wrong_rows, query=QUERY, gates=OPEN)
    decision, published = run(task)
    assert (decision["promote"], decision["champion"], gate(published)) == (True, None, None)

    write_samples(data_root, task, [*wrong_rows, ("a sheep in the rain", "number")])  # no better
    decision, published = run(task)
    held = gate(published)
    assert held is not None
    assert not decision["promote"]
    assert "the champion, version 1: 0 % against 0 % on the same 24 rows" in held["reason"]
    assert Registry(encoder_store, task).version() == 1

    write_samples(data_root, task, toy_rows)  # nearly all rows are right now
    decision, better = run(task)
    promoted = gate(better)
    assert promoted is not None
    assert promoted["promote"]
    assert decision["champion"]["gained"] > 15
    assert decision["champion"]["version"] == 1
    assert Registry(encoder_store, task).version() == 2

    _, found = run(task)  # the champion by now, judged as it was
    assert (found.key, found.built) == (better.key, False)
    assert Registry(encoder_store, task).version() == 2


def test_after_a_correction_a_model_that_is_no_worse_replaces_the_champion_where_the_task_says_so(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, data_root: Path
) -> None:
    task = make_task(toy_rows, query=QUERY, gates={**OPEN, "replace_if": "no_worse", "margin": 0.3})
    assert run(task)[0]["promote"]
    write_samples(data_root, task, [*toy_rows, ("a hen lays an egg", "animal")])
    (text, label), *others = QUERY
    lines = [
        "text,label",
        f"{text},{'travel' if label == 'animal' else 'animal'}",
        *(f"{text},{label}" for text, label in others),
    ]
    (data_root / task / "query.csv").write_text("\n".join(lines), "utf-8")  # the champion's loss on this row is another one now
    decision, published = run(task)
    champion, found = decision["champion"], gate(published)
    assert found is not None
    assert "The samples have changed, and accuracy has surely not fallen by 30.0 points" in found["reason"]
    assert (champion["rule"], champion["loss_rows"], champion["rows"]) == ("no_worse", 24, 24)
    assert Registry(encoder_store, task).version() == 2


def test_left_out_samples_are_compared_by_what_both_models_said_when_they_were_left_out(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, data_root: Path
) -> None:
    task = make_task(toy_rows, gates=OPEN)
    assert run(task)[0]["promote"]
    write_samples(data_root, task, [*toy_rows[1:], ("a hen lays an egg", "animal")])
    decision, _ = run(task)
    assert decision["metrics"]["evidence"] == "leave_one_out"
    assert decision["champion"]["rows"] == 11  # those that both have


def test_new_class_needs_no_gain_on_the_rows_of_the_old_ones(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, data_root: Path
) -> None:
    task = make_task(toy_rows, query=QUERY, gates=OPEN)
    assert run(task)[0]["promote"]
    new = [(f"a song for {instrument}", "music") for instrument in ("piano", "flute", "drums", "violin")]
    write_samples(data_root, task, [*toy_rows, *new])
    with (data_root / task / "query.csv").open("a", encoding="utf-8") as file:
        file.write("a tune for the harp,music\n")
    decision, published = run(task)
    found = gate(published)
    assert found is not None
    assert "does not know 'music'" in found["reason"]
    assert decision["champion"]["missing"] == ["music"]
    assert decision["promote"]


def test_champion_whose_files_are_gone_is_no_opponent(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, data_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_task(toy_rows, query=QUERY, gates=OPEN)
    run(task)
    champion = Registry(encoder_store, task).champion()
    assert champion is not None
    shutil.rmtree(Store(encoder_store).folder(champion["model"]["step"], champion["model"]["key"]))
    write_samples(data_root, task, toy_rows[:-1])
    decision, published = run(task)
    assert gate(published) is None
    assert "nothing to compare with" in caplog.text
    assert decision["promote"]


def test_figures_of_the_champion_are_those_of_its_published_model(demo_copy: Path) -> None:
    artefacts = run_steps(load_task("support-intents", dry_run=True))
    store, champion = Store(demo_copy), Registry(demo_copy, "support-intents").champion()
    assert champion is not None
    assert choose_opponent(store, champion, artefacts["export"]) is None  # it is the champion, and was the first
    opponent = {"version": 1, "model": artefacts["export"].reference()}
    found = compare_with_champion(Run(load_task("support-intents"), store, artefacts), opponent)
    assert found is not None
    assert found["accuracy"] == pytest.approx(artefacts["evaluate"].json("metrics.json")["accuracy"], abs=0.005)
    assert (found["rows"], found["missing"], found["gained"] + found["lost"] <= 2) == (420, [], True)


def test_slices_of_the_query_rows_have_their_own_figures_and_gate(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, data_root: Path
) -> None:
    lines = ["text,label,channel", *(f"{text},{label},{'chat' if i % 2 else 'mail'}" for i, (text, label) in enumerate(QUERY))]
    task = make_task(toy_rows, query="\n".join(lines).encode(), slices=["channel"], gates={**OPEN, "min_slice_accuracy": 0.5})
    found = run_steps(load_task(task), "evaluate")["evaluate"]
    metrics = found.json("metrics.json")
    assert [(part["column"], part["value"], part["rows"]) for part in metrics["slices"]] == [
        ("channel", "chat", 12),
        ("channel", "mail", 12),
    ]
    assert np.mean([part["accuracy"] for part in metrics["slices"]]) == pytest.approx(metrics["accuracy"])
    assert "slices" in {gate["gate"] for gate in found.json("gates.json")}


def test_digest_of_a_decision_does_not_depend_on_timings(
    make_task: Callable[..., str], toy_rows: list[Row], encoder_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(toy_rows, gates=OPEN)
    _, first = run(task)
    (encoder_store / "publish").rename(tmp_path / "publish")
    (encoder_store / "registry").rename(tmp_path / "registry")
    _, second = run(task)
    assert second.built
    timings = [
        json.loads((tmp_path / "publish" / first.key[:2] / first.key / "timings.json").read_text("utf-8")),
        second.json("timings.json"),
    ]
    assert timings[0] != timings[1]
    assert first.digest == second.digest
    (second.path / "timings.json").write_text("{}", "utf-8")
    assert Store(Path(os.environ["FSAT_STORE"])).find("publish", second.key) is None  # but it is verified
