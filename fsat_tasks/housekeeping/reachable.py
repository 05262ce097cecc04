"""Mark the artefacts that are still needed: those that the registry names, those that were used lately, and all their parents.

This module does not depend on the names of the steps. An artefact is a folder `<step>/<xx>/<key>`, and its manifest names its
parents. Segments of the row cache have no parents. They are needed as long as their encoder is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from fsat_tasks.registry.registry import Registry
from fsat_tasks.store import Store
from fsat_tasks.store.artefact import MANIFEST
from fsat_tasks.store.lease import last_use

__all__ = ["Links", "artefact_folders", "children_first", "mark", "read_links"]

KEY = re.compile("[0-9a-f]{64}")
ROWS = "rows-"
"""Prefix of the step names of the row cache's segments."""


@dataclass(frozen=True)
class Links:
    """The links from an artefact's manifest to other artefacts."""

    parents: tuple[Path, ...] = ()
    encoder: str | None = None
    """sha256 of an encoder. For a segment of the row cache, it is the encoder that made the rows. For any other artefact, it is
    the encoder in the artefact, or None."""
    bytes: int = 0
    """Total size of the artefact's files."""


def artefact_folders(root: Path) -> list[Path]:
    """Return the folders of all finished artefacts, intact or damaged."""
    return sorted(path for path in root.glob("*/??/*/") if KEY.fullmatch(path.name) and path.parent.name == path.name[:2])


def read_links(root: Path, folder: Path) -> Links:
    """Read an artefact's links from its manifest.

    If the manifest is damaged, the result has no links. The store sets such an artefact aside when a run looks for it.

    Raises:
        OSError: the manifest exists but cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        parents = tuple(_folder(root, reference) for reference in manifest["parents"].values())
        files = manifest["files"]
        encoder = manifest["inputs"]["encoder"] if is_segment(folder) else files.get("encoder.onnx", {}).get("sha256")
        return Links(parents, encoder, sum(file["bytes"] for file in files.values()))
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return Links()


def mark(root: Path, links: Mapping[Path, Links], run_cutoff: float, age_cutoff: float) -> dict[Path, str]:
    """Return artefact -> reason, for each artefact to keep. If several reasons apply, the first of them is returned.

    Args:
        links: every artefact of the store, with its links.
        run_cutoff: seconds since the epoch. If an artefact was used at or after this time, a living run may be using it.
        age_cutoff: seconds since the epoch. If an artefact was used after this time, it was used too recently to be removed.

    Raises:
        RegistryError: a champion or a history cannot be read.
    """
    used = {folder: last_use(folder) for folder in links}
    reasons = {
        "the registry": registry_roots(root),
        "a run that goes on": [folder for folder, time in used.items() if time >= run_cutoff],
        "used lately": [folder for folder, time in used.items() if time > age_cutoff],
    }
    kept: dict[Path, str] = {}
    for reason, roots in reasons.items():
        for folder in _reach(roots, links):
            kept.setdefault(folder, reason)
    encoders = {links[folder].encoder for folder in kept if not is_segment(folder)} - {None}
    for folder in links:
        if is_segment(folder) and links[folder].encoder in encoders:
            kept.setdefault(folder, "rows of an encoder that is kept")
    return kept


def registry_roots(root: Path) -> Iterator[Path]:
    """Yield the models and decisions of all champions and history entries."""
    for folder in sorted((root / "registry").glob("*/")):
        registry = Registry(root, folder.name)
        champion = registry.champion()
        for entry in [*registry.history(), *([champion] if champion else [])]:
            yield from (_folder(root, entry[name]) for name in ("model", "decision"))


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


def _folder(root: Path, reference: Mapping[str, str]) -> Path:
    return Store(root).folder(reference["step"], reference["key"])
