"""The verb gc reports what it did, and every other verb works after it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.published import find_published
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Recipe, Store
from json_result import result
from swept_store import LINE, age, decide, publish

Cli = Callable[..., tuple[int, str, str]]


def test_command_prints_a_report_for_people_and_for_machines(store: Store, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSAT_STORE", str(store.root))
    publish(store, 1)
    decide(store, 2)
    age(store, 30)
    code, out, err = cli("gc", "--dry-run")
    assert (code, err) == (0, "")
    assert "the registry" in out
    assert "Dry run: nothing was changed. This would free" in out
    code, out, err = cli("gc", "--keep-days", "3", "--json")
    report: Mapping[str, Any] = result(out)
    assert (report["keep_days"], report["dry_run"], report["removed"]["export"]["count"]) == (3, False, 1)
    assert cli("gc", "--keep-days", "-1")[0] == 2


def test_every_command_works_afterwards_on_every_model_of_the_history(demo_copy: Path, cli: Cli) -> None:
    store, registry = Store(demo_copy), Registry(demo_copy, "support-intents")
    (first,) = registry.history()
    model, decision = (find_published(store, "task", first[name]) for name in ("model", "decision"))

    def write(folder: Path) -> None:
        shutil.copytree(model.path, folder, ignore=shutil.ignore_patterns("manifest.json"), dirs_exist_ok=True)
        (folder / "README.md").write_text("another model")

    parents = {name: find_published(store, "task", parent) for name, parent in model.manifest["parents"].items()}
    second = store.build(Recipe("export", 7, {"number": 2}, {}, parents=parents), write)
    assert registry.record(second, decision, replaces=1) == "promoted"
    decide(store, 1)
    assert housekeep(store, 0)["removed"].keys() == LINE.keys() | {"encoder-int8"}

    assert result(cli("diff", "support-intents", "1", "2", "--json")[1])["compared"] > 0
    assert cli("rollback", "support-intents")[0] == 0
    code, out, err = cli("run", "support-intents", "--json")
    assert code == 0, err
    assert not any(step["built"] for step in result(out)["tasks"][0]["steps"].values())
    assert cli("promote", "support-intents", second.key[:12])[0] == 0
    code, out, err = cli("predict", "support-intents", "my card has not arrived")
    assert json.loads(out)["label"] == "card_not_arrived", err
