"""Signatures of registry entries: HMAC-SHA256 (RFC 2104) with the secret in the file that FSAT_SIGNING_KEY names.

If the variable is not set, nothing is signed and nothing is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsat_tasks.errors import RegistryError
from fsat_tasks.store.files import canonical_json

__all__ = ["check_signature", "signature_problem", "signed", "signing_key"]

VARIABLE = "FSAT_SIGNING_KEY"
SHORTEST = 32
"""Minimum length of the secret in bytes, because a shorter secret is easier to guess than the hash."""


def signing_key() -> bytes | None:
    """Return the secret, or None if FSAT_SIGNING_KEY is not set.

    Raises:
        RegistryError: the variable names no readable file, or the secret is too short.
    """
    name = os.environ.get(VARIABLE)
    if name is None:
        return None
    fix = f"Make one with: openssl rand -out FILE {SHORTEST}; or unset the variable."
    try:
        secret = Path(name).read_bytes()
    except OSError as error:
        raise RegistryError(VARIABLE, "the name of a file with a secret", f"{name!r}: {error.strerror}", fix) from None
    if len(secret) < SHORTEST:
        raise RegistryError(f"{VARIABLE}: {name}", f"at least {SHORTEST} bytes of secret", f"{len(secret)}", fix)
    return secret


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
