"""What a step's result depends on, and what is recorded of it: recipe, artefact, manifest, checksums."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store.files import canonical_json, sha256_file

__all__ = ["MANIFEST", "Artefact", "Recipe", "make_manifest", "read_manifest"]

MANIFEST = "manifest.json"
DISTRIBUTIONS = {
    "fsat_tasks": ("fsat",),
    "great_expectations": ("great-expectations",),
    "numpy": ("numpy",),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "onnxscript": ("onnxscript",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "safetensors": ("safetensors",),
    "scipy": ("scipy",),
    "sklearn": ("scikit-learn",),
    "tokenizers": ("tokenizers",),
    "torch": ("torch",),
    "transformers": ("transformers",),
}
"""Module -> the distributions that may have brought it, of what shapes results."""


@dataclass(frozen=True)
class Artefact:
    """A step's result: a folder of files and its manifest."""

    path: Path
    manifest: Mapping[str, Any]
    built: bool = field(default=False, compare=False)
    """Whether this call did the work, or found it done."""

    @property
    def step(self) -> str:
        return str(self.manifest["step"])

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the files, without those of timings: equal work gives equal digests."""
        return str(self.manifest["digest"])

    def sha256(self, name: str) -> str:
        return str(self.manifest["files"][name]["sha256"])

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text("utf-8"))

    def reference(self) -> dict[str, str]:
        """What names this artefact elsewhere: in manifests, XCom, the registry."""
        return {"step": self.step, "key": self.key, "digest": self.digest}


@dataclass(frozen=True)
class Recipe:
    """All that a step's result depends on, and what to record beside it."""

    step: str
    version: int
    """Raised when the step's code changes its result."""
    config: Mapping[str, Any]
    """The slice of the specification that the step reads."""
    inputs: Mapping[str, str]
    """Name -> sha256 of each input's content."""
    numeric_class: NumericClass | None = None
    """What computes the numbers; None, `exact` in keys and manifests, if no floating point is involved."""
    parents: Mapping[str, Artefact] = field(default_factory=dict)
    """Recorded for lineage; what counts of them is in `inputs`."""
    measured: tuple[str, ...] = ()
    """Files with timings of this machine: verified like all others, but no part of the digest."""

    @property
    def computed_by(self) -> str:
        """The text of the numeric class."""
        return "exact" if self.numeric_class is None else str(self.numeric_class)

    @property
    def key(self) -> str:
        parts = {
            "step": self.step,
            "version": self.version,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
            "numeric_class": self.computed_by,
        }
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def read_manifest(folder: Path, sha256: Callable[[Path], str] = sha256_file) -> tuple[str | None, dict[str, Any]]:
    """What is wrong with an artefact (None if nothing is), and its manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        expected = {"step": folder.parent.parent.name, "key": folder.name, "digest": _digest(manifest["files"])}
        for field_name, value in expected.items():
            if manifest[field_name] != value:
                return f"manifest.json: {field_name} is not that of the folder and its files", manifest
    except (FileNotFoundError, IsADirectoryError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        return f"manifest.json: {error}", {}
    for name, expected_sha256 in files.items():
        try:
            if sha256(folder / name) != expected_sha256:
                return f"{name}: sha256 differs from the manifest's", manifest
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return f"{name}: not there", manifest
    return None, manifest


def make_manifest(recipe: Recipe, folder: Path, work: Mapping[str, Any], sha256: Callable[[Path], str]) -> dict[str, Any]:
    """The manifest of what a recipe's work left in a folder.

    Args:
        work: `notes` of the step, its `wall_seconds`, and the `caller` of this process.
    """
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    for name in recipe.measured:
        files[name]["measured"] = True
    return {
        "schema": 1,
        "step": recipe.step,
        "version": recipe.version,
        "key": recipe.key,
        "digest": _digest(files),
        "files": files,
        "config": dict(recipe.config),
        "inputs": dict(recipe.inputs),
        "numeric_class": recipe.computed_by,
        "seed": recipe.config.get("seed"),
        "device": recipe.numeric_class and recipe.numeric_class.device,
        "parents": {name: parent.reference() for name, parent in recipe.parents.items()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **work,
        "versions": _versions(),
    }


def _digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    content = {name: entry["sha256"] for name, entry in files.items() if not entry.get("measured")}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _versions() -> dict[str, str]:
    """Versions of what shapes results, of those that this process has loaded."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (name for module, names in DISTRIBUTIONS.items() if module in sys.modules for name in names):
        with suppress(PackageNotFoundError):
            found[name] = _package_version(name)
    return found


@functools.cache  # it is read from the package's files
def _package_version(name: str) -> str:
    return package_version(name)
