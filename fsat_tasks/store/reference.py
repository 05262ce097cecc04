"""References: step, key and digest of an artefact, as manifests, the registry, copies and Airflow's XCom name it.

A reference that was read from a file is checked here before a path in the store is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeGuard

__all__ = ["Reference", "is_file_name", "is_key", "is_reference", "is_step"]

Reference = Mapping[str, str]
"""`step`, `key` and `digest` of an artefact, and its `lineage` unless an older version of fsat wrote the reference."""

_STEP = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PART = r"(?!\.\.?(/|$))[^/\x00-\x1f\ud800-\udfff]+"
"""One part of a path: neither `.` nor `..`, and without control characters and half surrogates."""
_FILE_NAME = re.compile(f"{_PART}(/{_PART})*")


def is_step(value: object) -> bool:
    """Return whether a value can be the name of a step, which is the name of a folder in the store."""
    return isinstance(value, str) and len(value) <= 64 and _STEP.fullmatch(value) is not None


def is_key(value: object) -> bool:
    """Return whether a value is a sha256 in hexadecimal, as keys and digests are."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_file_name(value: object) -> bool:
    """Return whether a value is a relative path with slashes, which leads to nothing above its folder."""
    return isinstance(value, str) and _FILE_NAME.fullmatch(value) is not None


def is_reference(value: object, step: str | None = None) -> TypeGuard[Reference]:
    """Return whether a value read from a file is a reference.

    Args:
        step: the step that the reference must name; by default any.
    """
    return (
        isinstance(value, dict)
        and is_step(value.get("step"))
        and step in (None, value["step"])
        and is_key(value.get("key"))
        and is_key(value.get("digest"))
        and ("lineage" not in value or is_key(value["lineage"]))
    )
