"""Count what a fault has lost: compare a place after the fault with the same place before it."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.place import TASK, Place
from benchmarks.faults.whole import damaged_artefacts, missing_artefacts
from fsat_tasks.errors import RegistryError
from fsat_tasks.registry.registry import Registry
from fsat_tasks.snapshots.version import MISSING, read_snapshot, wrong_files
from fsat_tasks.store import Store
from fsat_tasks.store.files import sha256_file

__all__ = ["KINDS_OF_LOSS", "Losses", "State", "find_losses", "look"]

KINDS_OF_LOSS = ("artefacts", "registry lines", "champion", "samples", "files beside the store")
Losses = dict[str, list[str]]
"""Kind of loss -> what was lost, in words."""

GROWING = (".gitignore",)
"""Names of files to which DVC appends."""
FIXED = ("rows.csv", "traffic.csv", "more.csv", "out/notes.txt", "repository")
"""Files and folders beside the store that no verb may change, except where `_files` says so."""


@dataclass(frozen=True)
class State:
    """Histories, champions, samples and files of a place, which must still be there after a fault."""

    lines: dict[str, list[bytes]]
    """Store -> lines of the history."""
    champions: dict[str, int]
    """Store -> version of the champion, 0 if there is none."""
    samples: list[list[str]]
    files: dict[str, bytes]
    """Path below the place -> content, for files beside the store."""


def look(place: Place) -> State:
    """Read a place that is whole."""
    stores = _stores(place)
    return State(
        {name: _lines(store) for name, store in stores.items()},
        {name: Registry(store, TASK).version() for name, store in stores.items()},
        _table(place.samples),
        _files(place),
    )


def find_losses(place: Place, before: State) -> Losses:
    """Return what is lost, for each of KINDS_OF_LOSS.

    - Artefacts: what is under a final name is whole, and models and decisions of the registry are there.
    - Registry lines: each line is as it was, and in its place.
    - Champion: there is one if there was one, and it is one of the history's models.
    - Samples: the rows are those of before, or those with all rows of `add`, each once.
    - Files beside the store: each is as it was. A copy of `apply --out` is whole or not there, because the store has it too.
    """
    lost: Losses = {kind: [] for kind in KINDS_OF_LOSS}
    for name, store in _stores(place).items():
        lost["artefacts"] += damaged_artefacts(store)
        if _lines(store)[: len(before.lines[name])] != before.lines[name]:
            lost["registry lines"].append(f"{name}: lines are not as they were")
        try:
            lost["artefacts"] += missing_artefacts(store, TASK, ancestors=store != place.clone)
            if before.champions[name] and not Registry(store, TASK).version():
                lost["champion"].append(f"{name}: none")
        except RegistryError as error:
            lost["champion"].append(f"{name}: {error}")
    added = _table(place.added)[1:]
    if not place.samples.is_file() or _table(place.samples) not in (before.samples, [*before.samples, *added]):
        lost["samples"].append("neither the rows of before nor those with all new rows")
    lost["files beside the store"] += [*_changed(before.files, _files(place)), *_half_copied(place), *_half_kept(place)]
    return lost


def _stores(place: Place) -> dict[str, Path]:
    return {"store": place.store, "clone": place.clone}


def _lines(store: Path) -> list[bytes]:
    path = store / "registry" / TASK / "history.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []


def _table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _files(place: Place) -> dict[str, bytes]:
    """Read all files that must stay. The samples are compared by their rows, and Git and DVC have files for themselves."""
    tops = [place.root / name for name in FIXED]
    paths = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()]
    own = (place.repository / ".git", place.repository / ".dvc" / "tmp", place.samples)
    return {
        path.relative_to(place.root).as_posix(): path.read_bytes()
        for path in paths
        if not any(path.is_relative_to(one) for one in own)
    }


def _changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    changed = []
    for name, content in before.items():
        found = after.get(name)
        if found is None:
            changed.append(f"{name}: not there")
        elif found != content and not (name.endswith(GROWING) and found.startswith(content)):
            changed.append(f"{name}: another content")
    return changed


def _half_copied(place: Place) -> list[str]:
    """Return what is wrong with the copy of a result in the folder of `apply --out`."""
    folder = place.out / "traffic.csv"
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    if not found:
        return []
    if "artefact.json" not in found:
        return [f"out/traffic.csv: half of a copy: {', '.join(sorted(found))}"]
    record = json.loads((folder / "artefact.json").read_bytes())
    if found != {*record["files"], "artefact.json"}:
        return [f"out/traffic.csv: half of a copy: {', '.join(sorted(found))}"]
    artefact = Store(place.store).find_named(record)
    if artefact is None:  # housekeeping has removed it since
        return []
    return [f"out/traffic.csv/{name}: altered" for name in record["files"] if sha256_file(folder / name) != artefact.sha256(name)]


def _half_kept(place: Place) -> list[str]:
    """Return what is wrong with the versions in the repository. DVC fetches files of version 1 that are missing."""
    wrong = []
    for number in (1, 2):
        folder = place.repository / "published" / TASK / f"v{number}"
        snapshot = read_snapshot(folder) if folder.is_dir() else None
        if folder.is_dir() and number == 2 and snapshot is None:
            wrong.append("published version 2: no snapshot.json")
        for name, problem in (wrong_files(folder, snapshot["files"]) if snapshot is not None else {}).items():
            if number == 2 or problem != MISSING:
                wrong.append(f"published version {number}, {name}: {problem}")
    return wrong
