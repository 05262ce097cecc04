"""The shape of everything that a verb prints with `--json`: one object, whose schema has a version."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

__all__ = ["SCHEMA", "asks_for_json", "print_json", "print_json_error", "verb_of"]

SCHEMA = 1
"""Version of the object. It is raised if a key of the object, or of a verb's result, changes its meaning or goes."""


def print_json(result: Mapping[str, Any], exit_code: int = 0) -> None:
    """Print the result of the verb that this process runs."""
    _print(exit_code, result, None)


def print_json_error(error: Mapping[str, Any], exit_code: int) -> None:
    """Print why the verb that this process runs has no result; see `errors.facts`."""
    _print(exit_code, None, error)


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line has the option `--json`."""
    return "--json" in _before_dashes(arguments)


def verb_of(arguments: Sequence[str]) -> str | None:
    """Return the verb of a command line, or None if it has none."""
    return next((word for word in _before_dashes(arguments) if not word.startswith("-")), None)


def _print(exit_code: int, result: Mapping[str, Any] | None, error: Mapping[str, Any] | None) -> None:
    whole = {"schema": SCHEMA, "command": verb_of(sys.argv[1:]), "exit_code": exit_code, "result": result, "error": error}
    typer.echo(json.dumps(whole, indent=2))


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    """Return the words before a lone `--`, after which no word is an option."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments
