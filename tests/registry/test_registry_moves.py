"""Moves of the champion by hand: versions, the target of a rollback, and that nothing undoes a move unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import ChampionChangedError, RegistryError
from fsat_tasks.registry.registry import Registry
from promoted_models import TASK, actions, build, files, record, registry_of

Move = Callable[[], Any]


# Where moves go


def test_rollback_points_to_the_version_before_and_a_second_one_goes_one_further_back(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert registry.rollback(expected=3)["version"] == 2
    assert registry.rollback(expected=2, reason="wrong on refunds")["version"] == 1
    entry = registry.history()[-1]
    assert registry.champion() == entry
    assert (entry["action"], entry["reason"]) == ("rollback", "wrong on refunds")
    assert entry["user"] != ""
    first = registry.history()[0]
    assert [entry[name] for name in ("model", "decision", "metrics")] == [
        first[name] for name in ("model", "decision", "metrics")
    ]
    before = files(tmp_path)
    with pytest.raises(RegistryError, match="expected an earlier version on the promotion path, got none"):
        registry.rollback(expected=1)
    assert files(tmp_path) == before


def test_promotion_after_a_rollback_goes_on_from_the_highest_number_and_back_from_it_past_what_was_rolled_back(
    tmp_path: Path,
) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    registry.rollback(expected=3)
    assert record(tmp_path, 4) == "promoted"
    assert registry.version() == 4
    assert [registry.rollback(expected=version)["version"] for version in (4, 2)] == [2, 1]
    assert [version for _, version in actions(tmp_path)] == [1, 2, 3, 2, 4, 2, 1]


def test_rollback_to_a_version_goes_only_back(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert registry.rollback(expected=3, to=1)["version"] == 1
    before = files(tmp_path)
    assert registry.rollback(expected=3, to=1)["version"] == 1  # said again
    for to in (2, 3, 9):
        with pytest.raises(RegistryError, match=rf"got {to}\. To promote any version: fsat promote task VERSION"):
            registry.rollback(expected=1, to=to)
    assert files(tmp_path) == before
    assert registry.promote("3", expected=1)["version"] == 3
    with pytest.raises(RegistryError, match=r"on the promotion path: 1, got 2"):
        registry.rollback(expected=3, to=2)


def test_promotion_by_hand_is_undone_by_a_rollback(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    assert registry.promote("v1", expected=3, reason="calmer")["version"] == 1
    assert registry.history()[-1]["reason"] == "calmer"
    assert registry.rollback(expected=1)["version"] == 3
    assert actions(tmp_path)[-2:] == [("promote", 1), ("rollback", 3)]


def test_held_model_gets_its_number_by_its_first_promotion(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1)
    assert record(tmp_path, 2, promote=False) == "held"
    key = registry.history()[-1]["model"]["key"]
    entry = registry.promote(key[:8], expected=1)
    assert (entry["version"], entry["metrics"]) == (2, {"accuracy": 0.02})
    assert record(tmp_path, 2, promote=False) == "held"  # the gates still say so; the champion is whom a person chose
    assert registry.rollback(expected=2)["version"] == 1
    assert registry.promote(key, expected=1)["version"] == 2
    assert actions(tmp_path) == [("promote", 1), ("hold", None), ("promote", 2), ("rollback", 1), ("promote", 2)]


def test_promotion_of_the_champion_changes_nothing(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    before = files(tmp_path)
    assert registry.promote("2", expected=1)["version"] == 2
    assert files(tmp_path) == before


def test_move_is_refused_where_another_version_is_the_champion(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    before = files(tmp_path)
    moves: list[Move] = [lambda: registry.promote("1", expected=2), lambda: registry.rollback(expected=2)]
    for move in moves:
        with pytest.raises(ChampionChangedError, match="the champion is version 3 now and not 2; nothing was moved"):
            move()
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["0", "4", "v9", "abcdefab", "x", "", "-1", "../1", "1 ", "DEADBEEF"])
def test_model_that_is_not_in_the_history_is_named(name: str, tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    before = files(tmp_path)
    with pytest.raises(RegistryError, match=r"model '.*' of task 'task': expected .* fsat history task"):
        registry.promote(name, expected=3)
    assert files(tmp_path) == before


def test_key_prefix_of_two_models_is_refused(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    path = tmp_path / "registry" / TASK / "history.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    for entry in entries:
        entry["model"]["key"] = "abcdef00" + entry["model"]["key"][8:]
        del entry["before"]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with pytest.raises(RegistryError, match="one model's key, got the beginning of the keys of 2 models"):
        registry.find("abcdef00")
    assert registry.find(entries[0]["model"]["key"])["version"] == 1


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_model_whose_files_are_not_those_published_is_refused_and_nothing_changes(damage: str, tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    path = build(tmp_path, 1)[0].path / "model.onnx"
    path.unlink() if damage == "missing" else path.write_text("another")
    before = files(tmp_path)
    moves: list[Move] = [lambda: registry.promote("1", expected=2), lambda: registry.rollback(expected=2)]
    for move in moves:
        with pytest.raises(RegistryError, match="expected the files that were published, got missing or altered ones"):
            move()
    assert files(tmp_path) == before


def test_move_in_a_task_without_a_history_makes_no_folder(tmp_path: Path) -> None:
    moves: list[Move] = [lambda: Registry(tmp_path, TASK).promote("1", 0), lambda: Registry(tmp_path, TASK).rollback(0)]
    for move in moves:
        with pytest.raises(RegistryError, match=r"expected a model in its history, got none yet"):
            move()
    assert list(tmp_path.iterdir()) == []


# What a run does after a move by hand


def test_run_on_unchanged_data_does_not_undo_a_rollback(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2, 3)
    registry.rollback(expected=3)
    before = files(tmp_path)
    for number in (3, 3, 1):
        assert record(tmp_path, number) == "kept"
    assert record(tmp_path, 2) == "unchanged"
    assert registry.record(*build(tmp_path, 3), replaces=3) == "kept"  # judged before the rollback, recorded after it
    assert files(tmp_path) == before


def test_rollback_holds_until_a_new_model_is_promoted(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    registry.rollback(expected=2)
    assert record(tmp_path, 3, promote=False) == "held"
    assert record(tmp_path, 2) == "kept"
    assert record(tmp_path, 4) == "promoted"
    assert registry.version() == 3
    assert record(tmp_path, 2) == "promoted"  # the data went back, and the gates say yes
    assert registry.version() == 2


def test_run_on_unchanged_data_does_not_undo_a_promotion_by_hand(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    registry.promote("1", expected=2)
    assert record(tmp_path, 2) == "kept"
    assert registry.version() == 1


def test_hold_that_was_said_before_a_move_is_not_said_again(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, 1, 2)
    record(tmp_path, 3, promote=False)
    registry.rollback(expected=2)
    before = files(tmp_path)
    assert record(tmp_path, 3, promote=False) == "held"
    assert files(tmp_path) == before
