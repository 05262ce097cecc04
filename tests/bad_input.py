"""Checks for every kind of bad input: one line on standard error, exit code 2, nothing written."""

from __future__ import annotations

import re
from pathlib import Path

GOOD = b"text,label\na cat asleep,animal\nthe dog barks,animal\nbook a flight,travel\nthe train leaves,travel\n"

LOG_LINES = re.compile(r"^\d\d:\d\d:\d\d .*\n", re.MULTILINE)


def said_once(result: tuple[int, str, str]) -> str:
    """Return the error, after the checks that every kind of bad input must pass."""
    code, out, err = result
    assert (code, out) == (2, ""), err
    err = LOG_LINES.sub("", err)  # a busy machine logs steps that take long
    assert err.startswith("fsat: ")
    assert err.count("\n") == 1
    assert len(err) < 1500
    return err


def assert_nothing_written(store: Path) -> None:
    """Check that the store has no artefact, no half-written file and no registry. Empty folders and a lock do not matter."""
    written = [path for path in store.rglob("*") if path.is_file() or path.name.startswith(".")]
    assert [path for path in written if path != store / "runs" / ".lock"] == []
