"""Signatures of registry entries: HMAC-SHA256 (RFC 2104) with the secret in the file that FSAT_SIGNING_KEY names.

If the variable is not set, nothing is signed and nothing is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsat_tasks.errors import RegistryError
from fsat_tasks.store.files import canonical_json
from fsat_tasks.tasks.workspace import Workspace

__all__ = ["check_signature", "signature_problem", "signed", "signing_key"]

VARIABLE = "FSAT_SIGNING_KEY"
SHORTEST = 32
"""Minimum length of the secret in bytes, because a shorter secret is easier to guess than the hash."""


def signing_key() -> bytes | None:
    """Return the secret, or None if FSAT_SIGNING_KEY is not set.

    Raises:
        RegistryError: the variable names no readable file, the file is not kept secret, or the secret is too short.
    """
    name = os.environ.get(VARIABLE)
    if name is None:
        return None
    fix = f"Make one with: (umask 077; openssl rand -out FILE {SHORTEST}); or unset the variable."
    try:
        _require_secrecy(name, fix)  # before it is opened, because a named pipe would wait for somebody who writes to it
        secret = Path(name).read_bytes()
    except OSError as error:
        raise RegistryError(VARIABLE, "the name of a file with a secret", f"{name!r}: {error.strerror}", fix) from None
    if len(secret) < SHORTEST:
        raise RegistryError(f"{VARIABLE}: {name}", f"at least {SHORTEST} bytes of secret", f"{len(secret)}", fix)
    return secret


def _require_secrecy(name: str, fix: str) -> None:
    """Raise RegistryError if the name is that of no file, or if others can read or replace the file.

    As with ssh's keys, the permissions count only if the file is the caller's own. A group may read it, because everyone who
    publishes or predicts needs it.
    """
    path, where = Path(name), f"{VARIABLE}: {name}"
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        got = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise RegistryError(VARIABLE, "the name of a file with a secret", f"{name!r}: {got}", fix)
    store = Workspace.from_env().store.resolve()
    if any(place.is_relative_to(store) for place in (path.parent.resolve(), path.resolve())):
        fix = "Whoever writes to the store could replace it. Move it."
        raise RegistryError(where, "a file outside of the store", "one in it", fix)
    if found.st_uid == os.getuid() and found.st_mode & stat.S_IRWXO:
        got = f"permissions {stat.S_IMODE(found.st_mode):o}, with which every user can"
        raise RegistryError(where, "a file that not every user can read", got, f"Call: chmod 600 {shlex.quote(str(path))}")


def signed(entry: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the entry, signed over its fields and the task's name. It stays unsigned if FSAT_SIGNING_KEY is not set."""
    key, rest = signing_key(), {name: value for name, value in entry.items() if name != "signature"}
    return rest if key is None else {**rest, "signature": _sign(rest, task, key)}


def signature_problem(entry: Mapping[str, Any], task: str) -> str | None:
    """Describe the problem with an entry's signature. Returns None if the signature is valid or FSAT_SIGNING_KEY is not set."""
    key = signing_key()
    if key is None:
        return None
    found = entry.get("signature")
    if found is None:
        return "none"
    try:
        expected = _sign({name: value for name, value in entry.items() if name != "signature"}, task, key)
        good = hmac.compare_digest(found.encode(), expected.encode())
    except (ValueError, RecursionError):  # canonical JSON cannot write this entry, so fsat did not write it either
        good = False
    return None if good else "one that does not match: the entry was altered, or another key signed it"


def check_signature(entry: Mapping[str, Any], task: str, where: str, fix: str) -> None:
    """Raise RegistryError if FSAT_SIGNING_KEY is set and that key did not sign the entry.

    Args:
        where, fix: parts of the error's message; see `InputError`.
    """
    if problem := signature_problem(entry, task):
        raise RegistryError(where, f"a signature by the key that {VARIABLE} names", problem, fix)


def _sign(entry: Mapping[str, Any], task: str, key: bytes) -> str:
    return hmac.new(key, canonical_json({"task": task, "entry": dict(entry)}).encode(), hashlib.sha256).hexdigest()
