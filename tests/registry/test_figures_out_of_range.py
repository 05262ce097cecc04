"""Figures that no float can hold: one damaged task is named, and all others are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry import status as module
from fsat_tasks.registry.history import parse_entry
from fsat_tasks.registry.registry import Registry
from json_result import result
from promoted_models import build

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def healthy_and_damaged(make_task: Callable[..., str], store_root: Path) -> tuple[str, str]:
    names = [make_task([("a", "x"), ("b", "y")]) for _ in range(2)]
    for name in names:
        Registry(store_root, name).record(*build(store_root, 1), 0)
    healthy, damaged = names
    pointer = store_root / "registry" / damaged / "champion.json"
    pointer.write_text(json.dumps(with_accuracy(json.loads(pointer.read_text()), 10**400)))
    return healthy, damaged


def with_accuracy(entry: dict[str, Any], value: object) -> dict[str, Any]:
    return {**entry, "metrics": {**entry["metrics"], "accuracy": value}}


def test_status_names_the_damaged_task_and_shows_the_others(healthy_and_damaged: tuple[str, str], cli: Cli) -> None:
    _, damaged = healthy_and_damaged
    code, out, err = cli("status")
    assert code == 2
    assert [("v1" in line, "cannot be read" in line) for line in out.splitlines() if "task-" in line] == [
        (True, False),
        (False, True),
    ]
    assert err.count("\n") == 1
    assert f"{damaged}/champion.json: expected an entry with a valid 'metrics'" in err
    assert [row["champion"] is None for row in result(cli("status", "--json")[1])["tasks"]] == [False, True]


def test_status_shows_the_others_whatever_is_wrong_with_one(
    healthy_and_damaged: tuple[str, str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, damaged = healthy_and_damaged

    def registry(store: Path, task: str) -> Registry:
        if task == damaged:
            raise ZeroDivisionError("nonsense")
        return Registry(store, task)

    monkeypatch.setattr(module, "Registry", registry)
    code, out, err = cli("status")
    assert (code, "accuracy 1.0 %" in out) == (2, True)
    assert f"task {damaged!r}: its state cannot be read: ZeroDivisionError: nonsense." in err


@pytest.mark.parametrize("value", [10**400, -(10**400), 10**301, True, "1", [1.0]])
def test_figure_that_is_no_number_of_a_float_is_refused(value: object, store_root: Path) -> None:
    Registry(store_root, "task").record(*build(store_root, 1), 0)
    entry = json.loads((store_root / "registry" / "task" / "champion.json").read_text())
    assert parse_entry("here", json.dumps(entry).encode(), "promote") == entry
    with pytest.raises(RegistryError, match="here: expected an entry with a valid 'metrics'"):
        parse_entry("here", json.dumps(with_accuracy(entry, value)).encode(), "promote")
