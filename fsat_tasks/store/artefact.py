"""Recipe: everything that a step's result depends on. Artefact: the result. Manifest: the record of both."""

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
"""Module -> distributions that may have installed it, for each library that can change results."""


@dataclass(frozen=True)
class Artefact:
    """A step's result: a folder of files and its manifest."""

    path: Path
    manifest: Mapping[str, Any]
    built: bool = field(default=False, compare=False)
    """True if `Store.build` has just made the artefact, False if the artefact was in the store already."""

    @property
    def step(self) -> str:
        return str(self.manifest["step"])

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @property
    def digest(self) -> str:
        """sha256 over the names and contents of the files. Files of timings are left out, so equal work gives equal digests."""
        return str(self.manifest["digest"])

    def sha256(self, name: str) -> str:
        """Return the sha256 of one of the files, as the manifest records it."""
        return str(self.manifest["files"][name]["sha256"])

    def json(self, name: str) -> Any:
        """Return the content of one of the JSON files."""
        return json.loads((self.path / name).read_text("utf-8"))

    def reference(self) -> dict[str, str]:
        """Return the step, key and digest that name this artefact in manifests, in the registry and in Airflow's XCom."""
        return {"step": self.step, "key": self.key, "digest": self.digest}


@dataclass(frozen=True)
class Recipe:
    """Everything that a step's result depends on, and further facts that its manifest records."""

    step: str
    version: int
    """Version of the step's code. A change of the code that changes results must raise it."""
    config: Mapping[str, Any]
    """The part of the task's specification that the step reads."""
    inputs: Mapping[str, str]
    """Name of each input -> sha256 of its content."""
    numeric_class: NumericClass | None = None
    """Numeric class of the computation (`runtime.numeric_class`), or None if it uses no floating-point numbers."""
    parents: Mapping[str, Artefact] = field(default_factory=dict)
    """Artefacts that this one is made from, recorded for lineage. They are not part of the key. The key covers
    their content by the checksums in `inputs`."""
    measured: tuple[str, ...] = ()
    """Names of files with timings of this machine. Their checksums are verified, but are not part of the digest."""

    @property
    def computed_by(self) -> str:
        """Numeric class as text, for keys and manifests; `exact` if there is none."""
        return "exact" if self.numeric_class is None else str(self.numeric_class)

    @property
    def key(self) -> str:
        """sha256 over step, version, config, inputs and numeric class. It names the artefact in the store."""
        parts = {
            "step": self.step,
            "version": self.version,
            "config": dict(self.config),
            "inputs": dict(self.inputs),
            "numeric_class": self.computed_by,
        }
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def read_manifest(folder: Path, sha256: Callable[[Path], str] = sha256_file) -> tuple[str | None, dict[str, Any]]:
    """Read an artefact's manifest and verify all files against it.

    Args:
        folder: the artefact's folder.
        sha256: function that returns a file's sha256.

    Returns:
        The problem, or None if the artefact is undamaged; and the manifest, or {} if it cannot be read.
    """
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
    """Return the manifest of the files that a step wrote to a folder.

    Args:
        recipe: recipe of the work.
        folder: folder with the files.
        work: further entries of the manifest: the step's `notes` and `wall_seconds`, and `caller`, the program that ran the step.
        sha256: function that returns a file's sha256.
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
    """Return the versions of Python and of those libraries in DISTRIBUTIONS that this process has loaded."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (name for module, names in DISTRIBUTIONS.items() if module in sys.modules for name in names):
        with suppress(PackageNotFoundError):
            found[name] = _package_version(name)
    return found


@functools.cache  # each look-up reads files
def _package_version(name: str) -> str:
    return package_version(name)
