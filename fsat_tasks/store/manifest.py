"""Manifests: the record of an artefact, written last and verified at each read.

The key in a manifest is the sha256 over `step`, `version`, `config`, `inputs` and `numeric_class`. The digest is the sha256 over
the files. `seal` is the sha256 over all fields. So a manifest in which a field has changed is damaged. Manifests of the first
schema have no seal.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from fsat_tasks.runtime.regular_file import NO_FILE, read_regular
from fsat_tasks.store.artefact import Recipe, make_key
from fsat_tasks.store.files import canonical_json, sha256_file
from fsat_tasks.store.reference import is_file_name, is_key, is_reference

__all__ = ["MANIFEST", "make_manifest", "parse_manifest", "read_manifest"]

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


def read_manifest(folder: Path, sha256: Callable[[Path], str] = sha256_file) -> tuple[str | None, dict[str, Any]]:
    """Read an artefact's manifest and verify all files against it.

    Args:
        folder: the artefact's folder.
        sha256: function that returns a file's sha256.

    Returns:
        The problem, or None if the artefact is undamaged; and the manifest, or {} if it is damaged itself.

    Raises:
        OSError: a file cannot be read.
    """
    try:
        manifest = parse_manifest(folder)
    except (*NO_FILE, ValueError) as error:
        return f"{MANIFEST}: {error}", {}
    for name, entry in manifest["files"].items():
        try:
            if sha256(folder / name) != entry["sha256"]:
                return f"{name}: sha256 differs from the manifest's", manifest
        except NO_FILE:
            return f"{name}: not there", manifest
    return None, manifest


def parse_manifest(folder: Path) -> dict[str, Any]:
    """Read an artefact's manifest and verify its fields. The files are not verified.

    Raises:
        ValueError: the manifest is damaged, or it is not the manifest of this folder.
        OSError: the manifest does not exist or cannot be read.
    """
    try:
        manifest = json.loads(read_regular(folder / MANIFEST).decode("utf-8"))
    except RecursionError:
        raise ValueError("too many brackets") from None
    if not isinstance(manifest, dict):
        raise ValueError("no JSON object")
    for name, good in _valid(manifest).items():
        if not good:
            raise ValueError(f"{name} is not valid")
    expected = {"step": folder.parent.parent.name, "key": folder.name, "digest": _digest(manifest["files"])}
    for name, value in expected.items():
        if manifest.get(name) != value:
            raise ValueError(f"{name} is not that of the folder and its files")
    made_of: dict[str, Any] = {name: manifest.get(name) for name in ("version", "config", "inputs", "numeric_class")}
    if make_key(manifest["step"], **made_of) != manifest["key"]:
        raise ValueError("version, config, inputs or numeric_class is not that of the key")
    if manifest.get("seal", _seal(manifest)) != _seal(manifest):
        raise ValueError("a field is not that of the seal")
    return manifest


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
    manifest: dict[str, Any] = {
        "schema": 2,
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
    manifest = json.loads(canonical_json(manifest))  # as a reader will find it
    return {**manifest, "seal": _seal(manifest)}


def _valid(manifest: Mapping[str, Any]) -> dict[str, bool]:
    """Return field -> whether its value has the right form, for the fields that are acted upon."""
    objects = {name: isinstance(manifest.get(name), dict) for name in ("files", "config", "inputs", "parents", "notes")}
    return objects | {
        "files": objects["files"] and all(map(_is_file, manifest["files"], manifest["files"].values())),
        "parents": objects["parents"] and all(map(is_reference, manifest["parents"].values())),
        "schema": manifest.get("schema") == 1 or (manifest.get("schema") == 2 and "seal" in manifest),
    }


def _is_file(name: str, entry: object) -> bool:
    return is_file_name(name) and isinstance(entry, dict) and is_key(entry.get("sha256")) and _is_size(entry.get("bytes"))


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63  # what an operating system can say


def _digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    content = {name: entry["sha256"] for name, entry in files.items() if not entry.get("measured")}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _seal(manifest: Mapping[str, Any]) -> str:
    sealed = {name: value for name, value in manifest.items() if name != "seal"}
    return hashlib.sha256(canonical_json(sealed).encode()).hexdigest()


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
