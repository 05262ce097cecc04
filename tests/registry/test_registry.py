"""The registry: one champion a task, a history that only grows, whoever is killed or comes at the same time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fsat_tasks.errors import ChampionChangedError, RegistryError, StoreError, TaskError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact
from kill_at import TESTS


def artefact(step: str, number: int, path: Path = Path("/nowhere")) -> Artefact:
    return Artefact(path, {"step": step, "key": f"{number:064x}", "digest": f"{number + 1:064x}", "parents": {}})


def record(root: Path, number: int, promote: bool, report: int | None = None, replaces: int | None = None) -> str:
    """Record a decision about model `number`, made by default while the champion was the present one."""
    with tempfile.TemporaryDirectory() as folder:
        verdict = {"promote": promote, "metrics": {"accuracy": number / 10}}
        (Path(folder) / "decision.json").write_text(json.dumps(verdict))
        registry = Registry(root, "task")
        decision = artefact("publish", number if report is None else report, Path(folder))
        return registry.record(artefact("export", number), decision, registry.version() if replaces is None else replaces)


def champion(root: Path) -> dict[str, Any]:
    found = Registry(root, "task").champion()
    assert found is not None
    return found


def actions(root: Path) -> list[tuple[str, int | None]]:
    return [(entry["action"], entry["version"]) for entry in Registry(root, "task").history()]


def test_task_without_a_decision_has_no_champion_and_no_history(tmp_path: Path) -> None:
    assert Registry(tmp_path, "task").champion() is None
    assert Registry(tmp_path, "task").history() == []
    assert list(tmp_path.iterdir()) == []


def test_promotion_makes_the_champion_with_the_next_version(tmp_path: Path) -> None:
    assert [record(tmp_path, number, promote=True) for number in (1, 2)] == ["promoted", "promoted"]
    entry = champion(tmp_path)
    assert (entry["version"], entry["metrics"]) == (2, {"accuracy": 0.2})
    assert entry["model"] == artefact("export", 2).reference()
    assert entry["decision"] == artefact("publish", 2).reference()
    assert Registry(tmp_path, "task").history()[-1] == entry
    assert actions(tmp_path) == [("promote", 1), ("promote", 2)]


def test_hold_is_recorded_and_leaves_the_champion(tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    before = champion(tmp_path)
    assert record(tmp_path, 2, promote=False) == "held"
    assert champion(tmp_path) == before
    assert actions(tmp_path) == [("promote", 1), ("hold", None)]
    record(tmp_path, 3, promote=True)
    assert actions(tmp_path) == [("promote", 1), ("hold", None), ("promote", 2)]


def test_the_same_decision_again_changes_nothing(tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    files = {path.name: path.read_bytes() for path in (tmp_path / "registry" / "task").iterdir()}
    assert record(tmp_path, 1, promote=True) == "unchanged"
    assert record(tmp_path, 1, promote=True, report=5) == "unchanged"  # another report of the same model
    assert {path.name: path.read_bytes() for path in (tmp_path / "registry" / "task").iterdir()} == files
    assert [record(tmp_path, 2, promote=False) for _ in range(2)] == ["held", "held"]
    assert actions(tmp_path) == [("promote", 1), ("hold", None)]


def test_old_model_may_become_the_champion_again_under_its_own_version(tmp_path: Path) -> None:
    for number in (1, 2, 1, 3):
        assert record(tmp_path, number, promote=True) == "promoted"
    assert actions(tmp_path) == [("promote", 1), ("promote", 2), ("promote", 1), ("promote", 3)]
    assert champion(tmp_path)["model"] == artefact("export", 3).reference()


def test_model_of_the_same_bytes_under_another_key_is_no_new_version(tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    again = Artefact(Path("/nowhere"), {**artefact("export", 1).manifest, "key": "f" * 64})
    (tmp_path / "decision.json").write_text('{"promote": true, "metrics": {}}')
    assert Registry(tmp_path, "task").record(again, artefact("publish", 7, tmp_path), replaces=1) == "unchanged"
    assert actions(tmp_path) == [("promote", 1)]
    assert champion(tmp_path)["version"] == 1
    assert champion(tmp_path)["model"] == again.reference()  # where the bytes lie now


def test_tasks_do_not_share_a_registry(tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    assert Registry(tmp_path, "other").champion() is None
    with pytest.raises(TaskError):
        Registry(tmp_path, "../task")


@pytest.mark.parametrize("torn", ['{"action":"promote","ver', '{"action":"hold"}', "\x00\x00"])
def test_torn_last_line_is_no_entry_and_is_repaired_by_the_next_decision(torn: str, tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    path = tmp_path / "registry" / "task" / "history.jsonl"
    with path.open("a") as file:
        file.write(torn)
    assert actions(tmp_path) == [("promote", 1)]
    record(tmp_path, 2, promote=True)
    assert actions(tmp_path) == [("promote", 1), ("promote", 2)]
    lines = path.read_text().split("\n")
    assert [json.loads(line)["version"] for line in lines[:-1]] == [1, 2]
    assert lines[-1] == ""


def test_promotion_over_another_champion_than_the_one_it_was_judged_against_is_refused(tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    record(tmp_path, 2, promote=True, replaces=1)
    with pytest.raises(ChampionChangedError, match="was version 1 when this model was judged and is version 2 now"):
        record(tmp_path, 3, promote=True, replaces=1)
    assert champion(tmp_path)["version"] == 2
    assert actions(tmp_path) == [("promote", 1), ("promote", 2)]
    assert record(tmp_path, 3, promote=False, replaces=1) == "held"  # a hold replaces nothing
    assert record(tmp_path, 2, promote=True, replaces=1) == "unchanged"


RECORD = """
import sys
from pathlib import Path
from fsat_tasks.errors import ChampionChangedError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Artefact
from kill_at import kill_at
root, decisions, first, count, do = *map(Path, sys.argv[1:3]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
if do == "die":
    kill_at(".champion.json")
ours = Registry(root, "task")
for number in range(first, first + count):
    model, decision = (Artefact(decisions, {"step": step, "key": f"{number:064x}", "digest": f"{number + 1:064x}", "parents": {}})
                       for step in ("export", "publish"))
    while True:
        try:
            ours.record(model, decision, replaces=ours.version())
            break
        except ChampionChangedError:
            pass  # another was between our look and our turn
"""


def start(root: Path, first: int, count: int = 1, do: str = "record") -> subprocess.Popen[bytes]:
    own = root / f"decisions-{first}"
    own.mkdir(exist_ok=True)
    (own / "decision.json").write_text('{"promote": true, "metrics": {}}')
    arguments = [str(root), str(own), str(first), str(count), do]
    return subprocess.Popen([sys.executable, "-c", RECORD, *arguments], cwd=TESTS)


def test_kill_between_the_history_and_the_pointer_is_recovered_without_a_second_entry(tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    assert start(tmp_path, 2, do="die").wait(60) == -signal.SIGKILL
    assert actions(tmp_path) == [("promote", 1), ("promote", 2)]
    assert champion(tmp_path)["version"] == 2  # as the history says
    assert record(tmp_path, 2, promote=True) == "promoted"
    assert champion(tmp_path)["version"] == 2
    assert actions(tmp_path) == [("promote", 1), ("promote", 2)]


def test_publishers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    processes = [start(tmp_path, 100 * number, count=5) for number in range(8)]
    assert [process.wait(60) for process in processes] == [0] * 8
    history = Registry(tmp_path, "task").history()
    assert [entry["version"] for entry in history] == list(range(1, 41))
    assert sorted(int(entry["model"]["key"], 16) for entry in history) == [100 * p + i for p in range(8) for i in range(5)]
    assert champion(tmp_path) == history[-1]


def test_registry_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "registry").touch()
    with pytest.raises(StoreError, match=r"registry .*expected a folder that can be written"):
        record(tmp_path, 1, promote=True)


@pytest.mark.parametrize("content", ["", "{", "7"])
def test_champion_file_that_is_no_entry_is_named(content: str, tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    path = tmp_path / "registry" / "task" / "champion.json"
    path.write_text(content)
    with pytest.raises(RegistryError, match=r"champion\.json: expected a JSON object"):
        Registry(tmp_path, "task").champion()


@pytest.mark.parametrize(
    ("field", "value"),
    [(name, None) for name in ("action", "model", "decision", "metrics", "time")]
    + [("action", "hold"), ("version", "1"), ("version", None), ("model", {"step": "export", "key": 1, "digest": "d"})],
)
def test_champion_without_a_field_that_others_rely_on_is_named(field: str, value: object, tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    path = tmp_path / "registry" / "task" / "champion.json"
    entry = champion(tmp_path)
    for damaged in ({**entry, field: value}, {name: entry[name] for name in entry if name != field}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(RegistryError, match=rf"champion\.json: expected an entry with a valid '{field}'"):
            Registry(tmp_path, "task").champion()


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"[1]", b"{}", b"[" * 100_000])
def test_bad_line_of_the_history_is_named(line: bytes, tmp_path: Path) -> None:
    record(tmp_path, 1, promote=True)
    path = tmp_path / "registry" / "task" / "history.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    for use in (Registry(tmp_path, "task").history, Registry(tmp_path, "task").champion, lambda: record(tmp_path, 2, True)):
        with pytest.raises(RegistryError, match=r"history\.jsonl, line 2: expected "):
            use()


def test_version_of_another_registry_is_taken_where_there_is_none_yet(tmp_path: Path) -> None:
    record(tmp_path / "theirs", 4, promote=True)
    record(tmp_path / "theirs", 5, promote=True)
    entry = champion(tmp_path / "theirs")
    record(tmp_path / "ours", 1, promote=False)
    Registry(tmp_path / "ours", "task").restore(entry)
    taken = champion(tmp_path / "ours")
    assert {**taken, "before": ""} == {**entry, "before": ""}  # it has a place of its own in this history
    assert actions(tmp_path / "ours") == [("hold", None), ("promote", 2)]
    files = {path.name: path.read_bytes() for path in (tmp_path / "ours" / "registry" / "task").iterdir()}
    Registry(tmp_path / "ours", "task").restore(entry)  # again
    Registry(tmp_path / "ours", "task").restore({**entry, "version": 9})  # there is a version now
    assert {path.name: path.read_bytes() for path in (tmp_path / "ours" / "registry" / "task").iterdir()} == files
    (tmp_path / "ours" / "registry" / "task" / "champion.json").unlink()  # as after a kill between the two writes
    Registry(tmp_path / "ours", "task").restore(entry)
    assert champion(tmp_path / "ours") == taken
    record(tmp_path / "ours", 6, promote=True)
    assert actions(tmp_path / "ours") == [("hold", None), ("promote", 2), ("promote", 3)]
