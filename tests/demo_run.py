"""The demo task, and the artefacts that a run of it left in a store."""

from __future__ import annotations

import json
from pathlib import Path

TASK = "support-intents"
STEPS = ("validate", "extract", "tune", "evaluate", "export", "publish")


def artefacts(store: Path) -> dict[str, str]:
    """Return step -> digest for a store with one artefact per step. The row cache has one per shard, and is left out."""
    manifests = [json.loads(path.read_text()) for path in store.glob("[!r]*/*/*/manifest.json")]
    assert len({manifest["step"] for manifest in manifests}) == len(manifests)
    return {manifest["step"]: manifest["digest"] for manifest in manifests}


def tree(folder: Path) -> dict[str, bytes]:
    """Return path below the folder -> content of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
