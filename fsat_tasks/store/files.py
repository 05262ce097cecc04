"""Files of the store and of its artefacts: canonical JSON and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

__all__ = ["canonical_json", "sha256_file", "write_json"]


REMEMBERED_BYTES, SETTLED_NS = 1 << 16, 2_000_000_000


_digests: dict[Path, tuple[tuple[int, ...], str]] = {}


def canonical_json(value: object) -> str:
    """The one JSON text of a value. Refuses NaN and whatever JSON does not know."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256_file(path: Path) -> str:
    """Of a large file remembered by this process, for as long as what the file system says of it stays the same."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        known, digest = _digests.get(path, (None, ""))
        state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known == state:
            return digest
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # within the clock's tick a file could change once more and show the same time
    if status.st_size >= REMEMBERED_BYTES and time.time_ns() - status.st_ctime_ns > SETTLED_NS:
        _digests[path] = state, digest
    return digest


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n", "utf-8")
