"""Artefacts that the registry or a recent use reaches stay, with all before them; the rest goes by age."""

from __future__ import annotations

import time
from unittest.mock import ANY

import numpy as np
import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact, Store
from swept_store import LINE, age, build, decide, publish, segments, steps


def test_champion_former_versions_and_held_models_stay_with_all_before_them(store: Store) -> None:
    for number, promote in ((1, True), (2, True), (3, False)):
        publish(store, number, promote)
    registry = Registry(store.root, "task")
    registry.rollback(expected=2)
    age(store, 400)
    housekeep(store, 0)
    assert steps(store) == {step: 1 if step == "encoder" else 3 for step in LINE}
    (held,) = (entry for entry in registry.history() if entry["action"] == "hold")
    assert registry.promote(held["model"]["key"], expected=1)["version"] == 3
    assert registry.promote("2", expected=3)["version"] == 2


def test_held_models_go_after_a_while_but_not_the_last_decision(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        publish(store, number, promote=number == 1)
    age(store, 400)
    assert housekeep(store, 7)["removed"] == {}
    monkeypatch.setattr("fsat_tasks.housekeeping.reachable.HELD_DAYS", 0)
    assert housekeep(store, 0)["removed"] == {step: {"count": 1, "bytes": ANY} for step in LINE if step != "encoder"}
    champion, gone, last = Registry(store.root, "task").history()
    assert [store.find_named(entry["model"]) is not None for entry in (champion, gone, last)] == [True, False, True]


def test_only_the_newest_versions_stay_where_a_number_is_given_and_the_champion_in_any_case(store: Store) -> None:
    for number in (1, 2, 3, 4):
        publish(store, number, promote=True)
    registry = Registry(store.root, "task")
    registry.rollback(expected=4, to=1)
    age(store, 400)
    report = housekeep(store, 7, dry_run=True, keep_versions=2)
    assert (report["keep_versions"], report["removed"]["export"]["count"]) == (2, 1)
    housekeep(store, 7, keep_versions=2)
    found = {entry["version"]: store.find_named(entry["model"]) is not None for entry in registry.history()}
    assert found == {1: True, 2: False, 3: True, 4: True}
    with pytest.raises(RegistryError, match=r"expected the files that were published, got missing or altered ones"):
        registry.promote("2", expected=1)
    housekeep(store, 0, keep_versions=1)
    assert {entry["version"] for entry in registry.history() if store.find_named(entry["model"])} == {1, 4}


def test_decision_of_a_dry_run_goes_by_age(store: Store) -> None:
    decide(store, 1)
    housekeep(store, 7)
    assert steps(store) == LINE
    age(store, 8)
    assert housekeep(store, 9)["removed"] == {}
    assert housekeep(store, 7)["removed"].keys() == LINE.keys()
    assert steps(store) == {}


def test_kinds_that_nobody_here_knows_go_by_age_and_keep_what_they_are_made_of(store: Store) -> None:
    model, _ = decide(store, 1)
    age(store, 30)
    build(store, "apply-or-whatever", model=model)
    assert housekeep(store, 7)["removed"].keys() == {"publish"}
    assert steps(store).keys() == LINE.keys() - {"publish"} | {"apply-or-whatever"}
    age(store, 30)
    housekeep(store, 7)
    assert steps(store) == {}


def test_use_counts(store: Store) -> None:
    model, _ = decide(store, 1)
    age(store, 30)
    assert store.find("export", model.key) is not None
    assert housekeep(store, 7)["removed"].keys() == {"publish"}
    assert steps(store).keys() == LINE.keys() - {"publish"}


def test_what_a_person_is_asked_about_stays_until_they_must_have_answered(store: Store) -> None:
    _, decision = decide(store, 1)
    age(store, 30)
    store.keep_until(decision, time.time() + 60)
    assert store.find("publish", decision.key) is not None
    assert housekeep(store, 0)["removed"] == {}
    store.keep_until(decision, time.time() - 60)
    housekeep(store, 0)
    assert steps(store) == {}


def test_files_of_others_in_the_store_are_left_alone(store: Store) -> None:
    for name in ("notes.txt", "mine/ab/notes/x", f"mine/ab/{'0' * 64}/x"):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text("x")
    age(store, 30)
    assert housekeep(store, 0)["removed"] == {}
    assert (store.root / "mine" / "ab" / ("0" * 64)).exists()


def test_rows_go_with_their_encoder_and_not_before(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    age(store, 30)
    store.find("encoder", encoder.key)
    report = housekeep(store, 7)
    assert (report["removed"], report["kept"].keys()) == ({}, {"used lately", "rows of an encoder that is kept"})
    age(store, 30)
    assert housekeep(store, 7)["removed"].keys() == {"encoder", "rows"}
    assert segments(store) == []
