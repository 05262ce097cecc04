"""Add a key to a task.yaml that a person has written, and leave everything else in it as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fsat_tasks.errors import TaskError
from fsat_tasks.tasks.yaml_file import parse_yaml, read_yaml

__all__ = ["with_key"]


def with_key(path: Path, key: str, value: str) -> str:
    """Return the content of a YAML file with one more key. It takes the place of a comment that shows it, as of `fsat init`.

    Raises:
        TaskError: if the file cannot be read, or if its form leaves no room for the key.
    """
    old = read_yaml(path)
    content = path.read_bytes().decode("utf-8-sig")
    for changed in (_beside_comment(content, key, value), _at_end(content, key, value), _in_braces(content, key, value)):
        if changed is not None and _values(path, changed) == {**old.values, key: value}:
            return changed
    raise TaskError(str(path), f"room for the key {key!r}", "a form that only you can change", f"Add the line: {key}: {value}")


def _values(path: Path, content: str) -> object:
    try:
        return parse_yaml(path, content).values
    except TaskError:
        return None


def _beside_comment(content: str, key: str, value: str) -> str | None:
    """Return the content with the key in place of the commented one."""
    changed, count = re.subn(rf"^# {key}:[^#\r\n]*", f"{key}: {value} ", content, count=1, flags=re.MULTILINE)
    return changed if count else None


def _at_end(content: str, key: str, value: str) -> str:
    return content + ("" if content.endswith("\n") else "\n") + f"{key}: {value}\n"


def _in_braces(content: str, key: str, value: str) -> str | None:
    """Return the content with the key at the end of keys in braces, as in JSON."""
    before, brace, after = content.rpartition("}")
    return f"{before.rstrip()}, {json.dumps(key)}: {json.dumps(value)}{brace}{after}" if brace else None
