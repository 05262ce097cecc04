"""The object that verbs print with `--json`."""

from __future__ import annotations

import json
from typing import Any


def result(printed: str) -> Any:
    """Return the result of a verb that had one."""
    whole = json.loads(printed)
    assert (whole["schema"], whole["error"]) == (1, None)
    return whole["result"]


def failure(printed: str) -> Any:
    """Return the error of a verb that had no result."""
    whole = json.loads(printed)
    assert (whole["schema"], whole["result"]) == (1, None)
    return whole["error"]
