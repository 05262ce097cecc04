"""JSON files and checksums, as the store and its artefacts use them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from fsat_tasks.runtime.regular_file import open_regular

__all__ = ["Digests", "canonical_json", "json_text", "replace_file", "sha256_file", "write_json"]

REMEMBERED_BYTES = 1 << 16
"""Minimum size in bytes of a file whose checksum is remembered."""
SETTLED_NS = 2_000_000_000
"""Minimum time in ns since the last change of such a file. A file that changed just now could change
once more and still have the same times."""


def canonical_json(value: object) -> str:
    """Return a value as JSON. The same value always gives the same text.

    Raises:
        ValueError, TypeError: for a value that JSON cannot represent, such as NaN.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def json_text(value: object) -> str:
    """Return a value as indented JSON with sorted keys."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON with sorted keys."""
    path.write_text(json_text(value), "utf-8")


def replace_file(path: Path, text: str) -> None:
    """Replace a file, whole or not at all. It is on disk then. The caller holds a lock, so that nobody else replaces it now.

    The text is written to a file `.NAME` beside it. One that is there already is removed first and not written to, because it may
    be a link to a file of somebody else.
    """
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's content in hexadecimal."""
    return Digests().sha256(path)


class Digests:
    """Checksums of files. A large file is read again only if its inode, size or times have changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    def sha256(self, path: Path) -> str:
        """Return the sha256 of a file's content in hexadecimal."""
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            known, digest = self._known.get(path, (None, ""))
            state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if known == state:
                return digest
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if status.st_size >= REMEMBERED_BYTES and time.time_ns() - status.st_ctime_ns > SETTLED_NS:
            self._known[path] = state, digest
        return digest
