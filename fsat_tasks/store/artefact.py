"""Recipe: everything that a step's result depends on. Artefact: the result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsat_tasks.errors import StoreError
from fsat_tasks.runtime.numeric_class import NumericClass
from fsat_tasks.store.files import canonical_json
from fsat_tasks.store.reference import Reference

__all__ = ["Artefact", "Recipe", "make_key"]


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

    @property
    def lineage(self) -> str:
        """sha256 over step, key, digest and the references of the parents.

        A parent's reference has the parent's lineage. So a signature of a lineage covers all that an artefact was made from.
        """
        parts = {"step": self.step, "key": self.key, "digest": self.digest, "parents": self.manifest["parents"]}
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()

    def parent(self, name: str) -> Reference:
        """Return the reference to a parent. Raises StoreError if the manifest has none of this name."""
        try:
            reference: Reference = self.manifest["parents"][name]
        except KeyError:
            known = ", ".join(self.manifest["parents"]) or "none"
            raise StoreError(f"{self.path}/manifest.json", f"a parent {name!r}", known, "Run the task again.") from None
        return reference

    def reference(self) -> dict[str, str]:
        """Return what names this artefact in manifests, in the registry and in Airflow's XCom."""
        return {"step": self.step, "key": self.key, "digest": self.digest, "lineage": self.lineage}

    def is_named_by(self, reference: Reference) -> bool:
        """Return whether a reference names this artefact, with these files and this lineage."""
        mine = self.reference()
        return all(mine[name] == value for name, value in reference.items() if name in mine)


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
        return make_key(self.step, self.version, self.config, self.inputs, self.computed_by)


def make_key(step: object, version: object, config: Mapping[str, Any], inputs: Mapping[str, str], numeric_class: object) -> str:
    """Return the key of a recipe with these parts. Raises ValueError or TypeError for parts that JSON cannot represent."""
    parts = {
        "step": step,
        "version": version,
        "config": dict(config),
        "inputs": dict(inputs),
        "numeric_class": numeric_class,
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()
