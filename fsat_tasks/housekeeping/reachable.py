"""Mark the artefacts that are still needed: those that the registry names, those that were used lately, and all their parents.

This module does not depend on the names of the steps. An artefact is a folder `<step>/<xx>/<key>`, and its manifest names its
parents. Segments of the row cache have no parents. They are needed as long as their encoder is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from graphlib import TopologicalSorter
from pathlib import Path

from fsat_tasks.errors import StoreError
from fsat_tasks.registry.history import Entry, moves
from fsat_tasks.registry.registry import Registry
from fsat_tasks.runtime.regular_file import NO_FILE
from fsat_tasks.store import Store
from fsat_tasks.store.folders import list_folders
from fsat_tasks.store.lease import last_use
from fsat_tasks.store.manifest import MANIFEST, parse_manifest
from fsat_tasks.store.reference import Reference, is_key, is_step

__all__ = ["DAY", "HELD_DAYS", "Keep", "Links", "artefact_folders", "children_first", "mark", "read_links"]

ROWS = "rows-"
"""Prefix of the step names of the row cache's segments."""
HELD_DAYS = 30
"""Number of days after its decision that a held model is kept, so that a person can still promote it."""
DAY = 86_400.0
"""Number of seconds in a day."""


@dataclass(frozen=True)
class Keep:
    """Artefacts to keep besides the champions and those that living runs use."""

    days: int = 7
    """Number of days that an artefact is kept after its last use."""
    versions: int | None = None
    """Number of newest versions of each task that are kept; None for all."""


@dataclass(frozen=True)
class Links:
    """The links from an artefact's manifest to other artefacts."""

    parents: tuple[Path, ...] = ()
    encoder: str | None = None
    """sha256 of an encoder. For a segment of the row cache, it is the encoder that made the rows. For any other artefact, it is
    the encoder in the artefact, or None."""
    bytes: int = 0
    """Total size of the artefact's files."""
    problem: str = ""
    """Problem of a damaged manifest; empty if there is none. If there is one, the other fields are empty."""


def artefact_folders(root: Path) -> list[Path]:
    """Return the folders of all finished artefacts, intact or damaged."""
    return [
        path
        for path in list_folders(root, "*", "??", "*")
        if is_key(path.name) and path.parent.name == path.name[:2] and is_step(path.parent.parent.name)
    ]


def read_links(root: Path, folder: Path) -> Links:
    """Read an artefact's links from its manifest.

    If the manifest is damaged, the result has a problem and no links. The store sets such an artefact aside when a run looks for
    it.

    Raises:
        OSError: the manifest exists but cannot be read.
    """
    try:
        manifest = parse_manifest(folder)
    except (*NO_FILE, ValueError) as error:
        return Links(problem=str(error))
    parents = tuple(_folder(root, reference) for reference in manifest["parents"].values())
    files = manifest["files"]
    encoder = manifest["inputs"].get("encoder") if is_segment(folder) else files.get("encoder.onnx", {}).get("sha256")
    return Links(parents, encoder, sum(file["bytes"] for file in files.values()))


def mark(root: Path, links: Mapping[Path, Links], run_cutoff: float, now: float, keep: Keep) -> dict[Path, str]:
    """Return artefact -> reason, for each artefact to keep. If several reasons apply, the first of them is returned.

    Args:
        links: every artefact of the store, with its links.
        run_cutoff: seconds since the epoch. If an artefact was used at or after this time, a living run may be using it.
        now: seconds since the epoch.
        keep: for how long, and how many versions.

    Raises:
        RegistryError: a champion or a history cannot be read.
        StoreError: the manifest of an artefact that the registry needs is damaged, so what it was made from is unknown.
    """
    used, age_cutoff = {folder: last_use(folder) for folder in links}, now - keep.days * DAY
    reasons = {
        "the registry": registry_roots(root, now, keep),
        "a run that goes on": [folder for folder, time in used.items() if time >= run_cutoff],
        "used lately": [folder for folder, time in used.items() if time > age_cutoff],
    }
    kept: dict[Path, str] = {}
    for reason, roots in reasons.items():
        for folder in _reach(roots, links):
            if links[folder].problem and reason == "the registry":
                fix = f"Nothing is removed. Restore it from a backup, or move its folder into {root / 'corrupt'}."
                raise StoreError(str(folder / MANIFEST), "the manifest of an artefact in use", links[folder].problem, fix)
            kept.setdefault(folder, reason)
    encoders = {links[folder].encoder for folder in kept if not is_segment(folder)} - {None}
    for folder in links:
        if is_segment(folder) and links[folder].encoder in encoders:
            kept.setdefault(folder, "rows of an encoder that is kept")
    return kept


def registry_roots(root: Path, now: float, keep: Keep) -> Iterator[Path]:
    """Yield the models and decisions of all champions, and of the history entries that are kept."""
    held_since = datetime.fromtimestamp(now, UTC) - timedelta(days=max(HELD_DAYS, keep.days))
    for folder in list_folders(root, "registry", "*"):
        registry = Registry(root, folder.name)
        champion = registry.champion()
        entries = _kept_entries(registry.history(), held_since, keep.versions)
        for entry in [*entries, *([champion] if champion else [])]:
            yield from (_folder(root, entry[name]) for name in ("model", "decision"))


def _kept_entries(history: list[Entry], held_since: datetime, versions: int | None) -> Iterator[Entry]:
    """Yield the entries of the newest versions, those that held a model since `held_since`, and the last decision.

    The last decision is kept so that a run on unchanged data finds it.
    """
    numbers = sorted({entry["version"] for entry in moves(history)})
    kept = set(numbers if versions is None else numbers[-versions:])
    for entry in history:
        if entry["version"] in kept or (entry["version"] is None and datetime.fromisoformat(entry["time"]) >= held_since):
            yield entry
    yield from history[-1:]


def children_first(folders: Iterable[Path], links: Mapping[Path, Links]) -> list[Path]:
    """Sort artefacts, children before parents. If they are removed in this order, no artefact ever lacks a parent."""
    graph = {folder: links[folder].parents for folder in folders}
    return [folder for folder in reversed([*TopologicalSorter(graph).static_order()]) if folder in graph]


def is_segment(folder: Path) -> bool:
    """Return whether an artefact is a segment of the row cache."""
    return folder.parent.parent.name.startswith(ROWS)


def _reach(roots: Iterable[Path], links: Mapping[Path, Links]) -> Iterator[Path]:
    """Yield the roots and all their ancestors, each once. Artefacts that are not in the store are left out."""
    waiting, seen = list(roots), set[Path]()
    while waiting:
        folder = waiting.pop()
        if folder in links and folder not in seen:
            seen.add(folder)
            waiting += links[folder].parents
            yield folder


def _folder(root: Path, reference: Reference) -> Path:
    return Store(root).folder(reference["step"], reference["key"])
