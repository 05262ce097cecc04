"""Housekeeping removes what nothing needs, and that alone: marks, ages, leases, leftovers, the row cache, and kills anywhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsat_tasks.encoders.row_cache import RowCache
from fsat_tasks.errors import RegistryError, StoreError
from fsat_tasks.housekeeping.sweep import housekeep
from fsat_tasks.registry.registry import Registry, find_published
from fsat_tasks.store import Artefact, Recipe, Store
from fsat_tasks.store.artefact import read_manifest
from fsat_tasks.store.files import write_json
from fsat_tasks.store.lease import gate, last_use, living_runs, tick

Cli = Callable[..., tuple[int, str, str]]
DAY = 86_400.0


def build(store: Store, step: str, number: int = 0, **parents: Artefact) -> Artefact:
    def write(folder: Path) -> None:
        (folder / "content").write_text(f"{step} {number}")

    return store.build(Recipe(step, 1, {"number": number}, {}, parents=parents), write)


def decide(store: Store, number: int, promote: bool = True) -> tuple[Artefact, Artefact]:
    """A model and the decision about it, and all that is before them, as a run makes it."""

    def write(folder: Path) -> None:
        write_json(folder / "decision.json", {"promote": promote, "metrics": {}})

    encoder = build(store, "encoder")
    extracted = build(store, "extract", number, validate=build(store, "validate", number), encoder=encoder)
    model = build(store, "export", number, tune=build(store, "tune", number, extract=extracted))
    return model, store.build(Recipe("publish", 1, {"number": number}, {}, parents={"export": model}), write)


def publish(store: Store, number: int, promote: bool = True) -> Artefact:
    model, decision = decide(store, number, promote)
    registry = Registry(store.root, "task")
    registry.record(model, decision, registry.version())
    return model


def age(store: Store, days: float) -> None:
    """Set the last use of everything back."""
    for path in store.root.rglob("*"):
        then = path.stat().st_mtime - days * DAY
        os.utime(path, (then, then))


def content(root: Path) -> dict[str, tuple[float, bytes]]:
    """Files and their times."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def steps(store: Store) -> dict[str, int]:
    """Step -> number of artefacts."""
    found = [path.parent.parent.parent.name for path in store.root.glob("*/??/*/manifest.json") if path.parent.name[0] != "."]
    return {step: found.count(step) for step in found}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


LINE = {"encoder": 1, "validate": 1, "extract": 1, "tune": 1, "export": 1, "publish": 1}


# What is reached


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


def test_dry_run_says_what_would_go_and_changes_nothing(store: Store) -> None:
    publish(store, 1)
    decide(store, 2)
    (store.root / "corrupt" / "tune-x").mkdir(parents=True)
    age(store, 30)
    before = content(store.root)
    said = housekeep(store, 7, dry_run=True)
    assert content(store.root) == before
    done = housekeep(store, 7)
    assert {**said, "dry_run": False} == done
    assert done["removed"].keys() == LINE.keys() - {"encoder"} | {"corrupt"}
    assert done["bytes"] == sum(found["bytes"] for found in done["removed"].values()) > 0
    assert done["kept"] == {"the registry": {"count": 6, "bytes": done["kept"]["the registry"]["bytes"]}}


def test_registry_that_cannot_be_read_stops_it_before_anything_is_removed(store: Store) -> None:
    publish(store, 1)
    decide(store, 2)
    age(store, 30)
    with (store.root / "registry" / "task" / "history.jsonl").open("a") as file:
        file.write("{}\n")
    before = steps(store)
    with pytest.raises(RegistryError, match="line 2"):
        housekeep(store, 0)
    assert steps(store) == before


def test_nothing_to_do_and_no_store_are_fine(store: Store, tmp_path: Path) -> None:
    assert housekeep(store, 0)["bytes"] == 0
    assert housekeep(Store(tmp_path / "none"), 0)["bytes"] == 0
    assert not (tmp_path / "none").exists()


def test_files_of_others_in_the_store_are_left_alone(store: Store) -> None:
    for name in ("notes.txt", "mine/ab/notes/x", f"mine/ab/{'0' * 64}/x"):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text("x")
    age(store, 30)
    assert housekeep(store, 0)["removed"] == {}
    assert (store.root / "mine" / "ab" / ("0" * 64)).exists()


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

    assert json.loads(cli("diff", "support-intents", "1", "2", "--json")[1])["compared"] > 0
    assert cli("rollback", "support-intents")[0] == 0
    code, out, err = cli("run", "support-intents", "--json")
    assert code == 0, err
    assert not any(step["built"] for step in json.loads(out).values())
    assert cli("promote", "support-intents", second.key[:12])[0] == 0
    code, out, err = cli("predict", "support-intents", "my card has not arrived")
    assert json.loads(out)["label"] == "card_not_arrived", err


# Runs that go on


def test_what_a_run_found_or_made_stays_until_it_ends(store: Store) -> None:
    old, _ = decide(store, 1)
    age(store, 30)
    with store.in_use():
        assert store.find("export", old.key) is not None
        new = build(store, "new")
        report = housekeep(store, 0)
        assert report["removed"].keys() == {"publish"}
        assert report["runs"] == [{"host": socket.gethostname(), "pid": os.getpid(), "since": report["runs"][0]["since"]}]
        assert report["kept"]["a run that goes on"]["count"] == 6
        assert new.path.exists()
    assert housekeep(store, 0)["runs"] == []
    assert steps(store) == {}


HOLD = """
import sys, time
from pathlib import Path
from fsat_tasks.store import Recipe, Store
store = Store(Path(sys.argv[1]))
with store.in_use():
    store.build(Recipe("made", 1, {}, {}), lambda folder: None)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_lease_ends_with_its_process_however_that_ends(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert [run["pid"] for run in housekeep(store, 0)["runs"]] == [process.pid]
    assert steps(store) == {"made": 1}
    process.kill()
    process.wait()
    assert len([*(store.root / "runs").glob("*.*.*")]) == 1
    assert living_runs(store.root, forget_dead=False) == []
    housekeep(store, 0)
    assert steps(store) == {}
    assert list((store.root / "runs").glob("*.*.*")) == []


def test_read_only_store_is_read_without_a_lease_and_refuses_housekeeping(small_disk: Path) -> None:
    made = build(Store(small_disk), "made")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with Store(small_disk).in_use():
        assert Store(small_disk).find("made", made.key) is not None
    assert housekeep(Store(small_disk), 0, dry_run=True)["removed"].keys() == {"made"}
    with pytest.raises(StoreError):
        housekeep(Store(small_disk), 0)


def test_full_disk_can_be_cleaned(small_disk: Path) -> None:
    store = Store(small_disk)
    build(store, "made")
    with (small_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    assert housekeep(store, 0)["removed"].keys() == {"made"}


# What killed processes left


def test_unfinished_folders_of_dead_processes_go_at_once_and_of_other_hosts_after_a_day(store: Store) -> None:
    folder, here = build(store, "made").path.parent, socket.gethostname()
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {name: f".{'a' * 64}.{name}.0123abcd" for name in (f"{here}.{dead.pid}", "its.host.2", "else.where.1")}
    for name in names.values():
        (folder / name / "sub").mkdir(parents=True)
    assert housekeep(store, 7)["removed"] == {"unfinished": {"count": 1, "bytes": 0}}
    assert {path.name for path in folder.iterdir() if path.name[0] == "."} == {*names.values()} - {names[f"{here}.{dead.pid}"]}
    age(store, 31)
    (folder / names["else.where.1"] / "sub" / "new").touch()
    assert housekeep(store, 30)["removed"] == {"made": {"count": 1, "bytes": 6}, "unfinished": {"count": 1, "bytes": 0}}
    assert [path.name for path in folder.iterdir()] == [names["else.where.1"]]


def test_artefacts_set_aside_and_checkpoints_go_by_age_but_not_those_being_worked_on(store: Store) -> None:
    whole = build(store, "made")
    (whole.path / "content").write_text("damaged")
    assert store.find("made", whole.key) is None
    busy, left = (Recipe("tune", 1, {"number": number}, {}) for number in (1, 2))
    with pytest.raises(KeyboardInterrupt), store.scratch(left) as folder:
        folder.mkdir()
        (folder / "body").write_text("half")
        raise KeyboardInterrupt
    with store.scratch(busy) as folder:
        folder.mkdir()
        assert housekeep(store, 7)["removed"] == {}
        age(store, 8)
        assert housekeep(store, 7)["removed"].keys() == {"corrupt", "checkpoints"}
        assert [path.name for path in (store.root / "checkpoints").glob("*/")] == [busy.key]
    assert list((store.root / "corrupt").iterdir()) == []


# Rows


class Numbers:
    """An encoder of its own kind: a text's features are its letters, and it counts the texts."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode_distinct(self, texts: list[str], layers: str, progress: object) -> tuple[np.ndarray, np.ndarray]:
        self.texts += texts
        rng = [np.random.default_rng([ord(letter) for letter in text]).normal(size=(2, 3)) for text in texts]
        return np.array(rng, np.float32), np.array([len(text) % 2 == 0 for text in texts])


@pytest.fixture
def encoder(store: Store) -> Artefact:
    def write(folder: Path) -> None:
        (folder / "encoder.onnx").write_text("graph")
        (folder / "tokenizer.json").write_text("{}")
        write_json(folder / "encoder.json", {"layers": 2, "dim": 3, "normalize": True})

    return store.build(Recipe("encoder", 1, {}, {}), write)


def encode(store: Store, encoder: Artefact, texts: list[str]) -> tuple[RowCache, np.ndarray]:
    cache = RowCache(store, encoder, "cpu", Numbers)  # type: ignore[arg-type]
    return cache, cache.features(texts)


TEXTS = [f"text {number}" for number in range(40)]


def segments(store: Store) -> list[Path]:
    return sorted(store.root.glob("rows-*/??/[!.]*/"))


@pytest.fixture
def rows(store: Store, encoder: Artefact) -> np.ndarray:
    """The features of TEXTS, in ten segments."""
    parts = [encode(store, encoder, TEXTS[start : start + 4])[1] for start in range(0, 40, 4)]
    assert len(segments(store)) == 10
    return np.concatenate(parts)


def test_small_segments_become_one_with_the_same_bits_and_nothing_is_encoded_again(
    store: Store, encoder: Artefact, rows: np.ndarray
) -> None:
    report = housekeep(store, 7)
    assert report["merged"] == {"segments": 10, "into": 1}
    (merged,) = segments(store)
    assert read_manifest(merged)[0] is None
    cache, found = encode(store, encoder, TEXTS)
    assert (cache.encoded, cache.truncated) == (0, sum(len(text) % 2 == 0 for text in TEXTS))
    assert found.tobytes() == rows.tobytes()
    assert housekeep(store, 7)["merged"] == {"segments": 0, "into": 0}
    encode(store, encoder, ["one more"])
    housekeep(store, 7)
    assert encode(store, encoder, [*TEXTS, "one more"])[0].encoded == 0


def test_rows_that_two_segments_have_are_there_once(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    shutil.move(store.root, store.root.with_name("one"))
    store.root.mkdir()
    shutil.copytree(store.root.with_name("one") / "encoder", store.root / "encoder")
    encode(store, encoder, TEXTS[2:7])
    shutil.copytree(store.root.with_name("one"), store.root, dirs_exist_ok=True)
    housekeep(store, 7)
    (merged,) = segments(store)
    assert len(np.load(merged / "keys.npy")) == 40
    assert encode(store, encoder, TEXTS)[1].tobytes() == rows.tobytes()


def test_reader_that_looked_before_the_merge_finds_its_rows_after_it(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    made = max(last_use(path.parent) for path in store.root.glob("rows-*/*/*/manifest.json"))
    with gate(store.root):
        while tick(store.root) <= made:  # what was made in the very tick in which a lease begins may be in use
            pass
    with store.in_use():
        assert store.find("encoder", encoder.key) is not None
        cache, _ = encode(store, encoder, TEXTS[:4])
        report = housekeep(store, 0)
        assert report["merged"] == {"segments": 9, "into": 1}  # and not the one that is in use
        assert cache.features(TEXTS).tobytes() == rows.tobytes()
        assert cache.encoded == 0


def test_segment_that_a_run_begins_to_use_while_it_is_merged_stays(
    store: Store, encoder: Artefact, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsat_tasks.encoders import row_merge

    run = store.in_use()
    merge = row_merge.merge

    def begin(*arguments: Any) -> Artefact | None:
        run.__enter__()
        encode(store, encoder, TEXTS[:4])
        return merge(*arguments)

    monkeypatch.setattr(row_merge, "merge", begin)
    assert housekeep(store, 7)["merged"] == {"segments": 9, "into": 1}
    run.__exit__(None, None, None)
    assert len(segments(store)) == 2
    assert encode(store, encoder, TEXTS)[0].encoded == 0


def test_damaged_segment_is_not_merged(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    damaged = segments(store)[3] / "features.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    housekeep(store, 7)
    cache, found = encode(store, encoder, TEXTS)
    assert cache.encoded == 4
    assert found.tobytes() == rows.tobytes()


def test_rows_go_with_their_encoder_and_not_before(store: Store, encoder: Artefact, rows: np.ndarray) -> None:
    age(store, 30)
    store.find("encoder", encoder.key)
    report = housekeep(store, 7)
    assert (report["removed"], report["kept"].keys()) == ({}, {"used lately", "rows of an encoder that is kept"})
    age(store, 30)
    assert housekeep(store, 7)["removed"].keys() == {"encoder", "rows"}
    assert segments(store) == []


# Kills


WRITES = ("os.rename", "os.rmdir", "os.mkdir", "os.utime", "shutil.rmtree")
TO_WRITE = os.O_WRONLY | os.O_RDWR


def die_at(write: int, work: Callable[[], object]) -> bool:
    """Do the work in a forked process that is killed at its n-th write; whether it was, and did not end before."""
    child = os.fork()
    if child == 0:
        left = [write]

        def count(event: str, arguments: tuple[object, ...]) -> None:
            if event in WRITES or (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            ):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.fixture
def full(store: Store, encoder: Artefact) -> Iterator[Store]:
    """A store with work of every kind for housekeeping."""
    for start in (0, 4, 8):
        encode(store, encoder, TEXTS[start : start + 4])
    publish(store, 1)
    decide(store, 2)
    with pytest.raises(KeyboardInterrupt), store.scratch(Recipe("tune", 1, {}, {})) as folder:
        folder.mkdir()
        raise KeyboardInterrupt
    (store.root / "corrupt" / "tune-x").mkdir(parents=True)
    age(store, 30)
    store.find("encoder", encoder.key)
    yield store


def test_killed_at_any_write_it_leaves_a_whole_store_and_the_next_one_completes_it(
    full: Store, encoder: Artefact, tmp_path: Path
) -> None:
    rows = encode(full, encoder, TEXTS[:12])[1]
    age(full, 1)
    full.root.rename(tmp_path / "template")
    for write in range(1000):
        shutil.rmtree(full.root, ignore_errors=True)
        shutil.copytree(tmp_path / "template", full.root)
        killed = die_at(write, lambda: housekeep(full, 7))
        found = [path for path in full.root.glob("*/??/*/") if len(path.name) == 64]
        for folder in found:
            problem, manifest = read_manifest(folder)
            assert problem is None
            for parent in manifest["parents"].values():
                assert full.folder(parent["step"], parent["key"]) in found
        (entry,) = Registry(full.root, "task").history()
        for name in ("model", "decision"):
            find_published(full, "task", entry[name])
        if not killed or write % 5 == 0:  # each fifth, since this is what takes the time
            housekeep(full, 7)
            assert len(segments(full)) == 1
            assert list(full.root.glob("*/*/.*/")) == []
            assert steps(full)["export"] == 1
            cache, features = encode(full, encoder, TEXTS[:12])
            assert (cache.encoded, features.tobytes()) == (0, rows.tobytes())
        if not killed:
            break
    assert write > 30


# The command


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
    report: Mapping[str, Any] = json.loads(out)
    assert (report["keep_days"], report["dry_run"], report["removed"]["export"]["count"]) == (3, False, 1)
    assert cli("gc", "--keep-days", "-1")[0] == 2
