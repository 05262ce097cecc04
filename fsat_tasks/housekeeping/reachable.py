"""What of a store is still needed: mark, from the registry, from what was used lately, and through the parents of each.

Nothing here knows which steps there are: an artefact is a folder `<step>/<xx>/<key>`, and its manifest names its parents.
Rows of the row cache have none; they are needed as long as their encoder is.
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
"""What the steps of the row cache's segments begin with."""


@dataclass(frozen=True)
class Links:
    """What a manifest says about other artefacts."""

    parents: tuple[Path, ...] = ()
    encoder: str | None = None
    """sha256 of the encoder that it has, or, of a segment of rows, that encoded them."""
    bytes: int = 0
    """Of its files."""


def artefact_folders(root: Path) -> list[Path]:
    """All artefacts, whole or damaged, under their final names."""
    return sorted(path for path in root.glob("*/??/*/") if KEY.fullmatch(path.name) and path.parent.name == path.name[:2])


def read_links(root: Path, folder: Path) -> Links:
    """Of a damaged manifest, which the store will set aside, none. Raises OSError where it cannot be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        parents = tuple(_folder(root, reference) for reference in manifest["parents"].values())
        files = manifest["files"]
        encoder = manifest["inputs"]["encoder"] if is_segment(folder) else files.get("encoder.onnx", {}).get("sha256")
        return Links(parents, encoder, sum(file["bytes"] for file in files.values()))
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return Links()


def mark(root: Path, links: Mapping[Path, Links], run_cutoff: float, age_cutoff: float) -> dict[Path, str]:
    """The artefacts that stay, and why each does: the first reason of those in the order in which they stand here.

    Args:
        run_cutoff: what was used since then may be in use by a run.
        age_cutoff: what was used after it is too young to go.

    Raises:
        RegistryError: where a champion or a history cannot be read.
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
    """Models and decisions of all champions and history entries."""
    for folder in sorted((root / "registry").glob("*/")):
        registry = Registry(root, folder.name)
        champion = registry.champion()
        for entry in [*registry.history(), *([champion] if champion else [])]:
            yield from (_folder(root, entry[name]) for name in ("model", "decision"))


def children_first(folders: Iterable[Path], links: Mapping[Path, Links]) -> list[Path]:
    """So that, wherever a removal stops, what is left has its parents."""
    graph = {folder: links[folder].parents for folder in folders}
    return [folder for folder in reversed([*TopologicalSorter(graph).static_order()]) if folder in graph]


def is_segment(folder: Path) -> bool:
    return folder.parent.parent.name.startswith(ROWS)


def _reach(roots: Iterable[Path], links: Mapping[Path, Links]) -> Iterator[Path]:
    waiting, seen = list(roots), set[Path]()
    while waiting:
        folder = waiting.pop()
        if folder in links and folder not in seen:
            seen.add(folder)
            waiting += links[folder].parents
            yield folder


def _folder(root: Path, reference: Mapping[str, str]) -> Path:
    return Store(root).folder(reference["step"], reference["key"])
