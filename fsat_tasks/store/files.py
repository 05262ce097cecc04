"""JSON files and checksums, as the store and its artefacts use them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

__all__ = ["canonical_json", "sha256_file", "write_json"]


REMEMBERED_BYTES, SETTLED_NS = 1 << 16, 2_000_000_000
"""Smallest size in bytes, and time since the last change in ns, of a file whose checksum is remembered."""


_digests: dict[Path, tuple[tuple[int, ...], str]] = {}


def canonical_json(value: object) -> str:
    """Return a value as JSON, always spelt the same way.

    Raises:
        ValueError, TypeError: for a value that JSON cannot represent, such as NaN.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256_file(path: Path) -> str:
    """Return a file's sha256 in hexadecimal.

    This process remembers the checksum of a large file as long as its inode, size and times stay the same.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        known, digest = _digests.get(path, (None, ""))
        state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known == state:
            return digest
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # a file that changed just now could change again within the clock's resolution and keep the same time
    if status.st_size >= REMEMBERED_BYTES and time.time_ns() - status.st_ctime_ns > SETTLED_NS:
        _digests[path] = state, digest
    return digest


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON with sorted keys."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
