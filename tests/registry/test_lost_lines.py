"""The history says who is champion. What was lost of it is noticed, and no model comes back by the loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.registry import Registry
from promoted_models import TASK, actions, build, record, registry_of

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rolled_back(store_root: Path) -> Registry:
    """A registry whose version 2 was bad, so that a person went back to version 1; version 3 was held."""
    registry = registry_of(store_root, 1, 2)
    assert record(store_root, 3, promote=False) == "held"
    registry.rollback(expected=2)
    return registry


def lines(registry: Registry) -> list[str]:
    return (registry.folder / "history.jsonl").read_text().splitlines(keepends=True)


def keep(registry: Registry, kept: list[str]) -> None:
    (registry.folder / "history.jsonl").write_text("".join(kept))


def test_lost_last_line_is_refused_by_name_and_brings_no_model_back(rolled_back: Registry, store_root: Path, cli: Cli) -> None:
    keep(rolled_back, lines(rolled_back)[:-1])
    for use in (rolled_back.champion, lambda: record(store_root, 2), lambda: rolled_back.rollback(1)):
        with pytest.raises(RegistryError, match=r"champion\.json: expected a move .* got version 1 by a rollback .* no line"):
            use()
    for verb in (("predict", TASK, "x"), ("rollback", TASK), ("promote", TASK, "2"), ("diff", TASK, "1")):
        code, out, err = cli(*verb)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"fsat promote {TASK} VERSION --trust" in err
    assert len(lines(rolled_back)) == 3


@pytest.mark.parametrize("line", [0, 1, 2])
def test_lost_line_in_the_middle_is_refused(line: int, rolled_back: Registry, store_root: Path) -> None:
    kept = lines(rolled_back)
    keep(rolled_back, kept[:line] + kept[line + 1 :])
    for use in (rolled_back.champion, rolled_back.history, lambda: record(store_root, 4)):
        with pytest.raises(
            RegistryError, match=r"history\.jsonl: expected the lines that were there when its last line was written"
        ):
            use()


def test_altered_line_is_refused(rolled_back: Registry) -> None:
    keep(rolled_back, [line.replace('"version":2', '"version":9') for line in lines(rolled_back)])
    with pytest.raises(RegistryError, match="A line was lost or altered"):
        rolled_back.champion()


def test_lost_history_gives_no_number_twice_and_moves_nothing_silently(rolled_back: Registry, store_root: Path, cli: Cli) -> None:
    held = build(store_root, 3, promote=False)[0]
    (rolled_back.folder / "history.jsonl").unlink()
    assert cli("promote", TASK, held.key)[0] == 2
    with pytest.raises(RegistryError, match="no line"):
        record(store_root, 4)
    assert cli("promote", TASK, "1", "--trust")[0] == 0  # the pointer is what is left of it
    assert record(store_root, 4) == "promoted"
    assert actions(store_root) == [("rollback", 1), ("promote", 1), ("promote", 2)]


def test_person_chooses_the_champion_of_a_history_with_a_lost_line(rolled_back: Registry, store_root: Path, cli: Cli) -> None:
    keep(rolled_back, lines(rolled_back)[:-1])
    code, out, err = cli("history", TASK)
    assert (code, err.count("\n"), out.count("rollback")) == (2, 1, 1)  # what is left is shown all the same
    assert cli("promote", TASK, "1", "--trust")[1].splitlines()[0] == "task: the champion is version 1 already."
    assert rolled_back.version() == 1
    assert cli("history", TASK)[0] == 0
    assert record(store_root, 2) == "kept"
    assert record(store_root, 5) == "promoted"
    assert rolled_back.version() == 3


def test_number_of_a_lost_version_is_not_given_again(store_root: Path, cli: Cli) -> None:
    registry = registry_of(store_root, 1, 2, 3)
    keep(registry, lines(registry)[:1])
    assert cli("promote", TASK, "1", "--trust")[0] == 0
    assert record(store_root, 4) == "promoted"
    assert registry.version() == 4


def test_pointer_of_an_earlier_move_has_no_effect(rolled_back: Registry) -> None:
    pointer = rolled_back.folder / "champion.json"
    pointer.write_text(lines(rolled_back)[1])  # version 2, as from a backup
    assert rolled_back.version() == 1
    pointer.unlink()
    assert rolled_back.version() == 1


def test_history_of_an_older_fsat_is_continued(store_root: Path) -> None:
    registry = registry_of(store_root, 1, 2)
    old = [json.loads(line) for line in lines(registry)]
    for entry in old:
        del entry["before"], entry["model"]["lineage"], entry["decision"]["lineage"]
    keep(registry, [json.dumps(entry, sort_keys=True, separators=(",", ":")) + "\n" for entry in old])
    (registry.folder / "champion.json").write_text(json.dumps(old[-1]))
    assert registry.version() == 2
    assert record(store_root, 2) == "unchanged"
    registry.rollback(expected=2)
    assert actions(store_root) == [("promote", 1), ("promote", 2), ("rollback", 1)]
    keep(registry, lines(registry)[1:])
    with pytest.raises(RegistryError):
        registry.champion()
