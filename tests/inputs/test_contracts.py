"""Nothing above the seam names what is in a row, and an unknown modality is one clear error."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from task_folder import Row

KNOWS_TEXTS = {"encoders", "inputs", "models/strings.py", "models/string_graph.py"}
"""Packages and modules that may name tokens: the seam itself, and the graph that takes texts."""
ALLOWED = {"max_tokens", "token_urlsafe"}
"""A key of task.yaml, and a function that makes passwords."""


def names_of(tree: ast.AST) -> Iterator[str]:
    """Yield all identifiers of a module."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "name", "arg", "asname", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield value


def test_nothing_above_the_encoders_names_tokens(repository: Path) -> None:
    package, found = repository / "fsat_tasks", dict[str, set[str]]()
    for path in package.rglob("*.py"):
        name = path.relative_to(package)
        if not KNOWS_TEXTS & {name.parts[0], name.as_posix()}:
            own = {one for one in names_of(ast.parse(path.read_text("utf-8"))) if "token" in one.lower()} - ALLOWED
            found |= {str(name): own} if own else {}
    assert found == {}


@pytest.mark.parametrize("given", ["images", "Text"])
def test_unknown_modality_is_one_error_with_the_known_ones(
    given: str, make_task: Callable[..., str], cli: Callable[..., tuple[int, str, str]], toy_rows: list[Row]
) -> None:
    code, _, printed = cli("validate", make_task(toy_rows, inputs=given))
    assert code == 2
    assert f"task.yaml, line 1: inputs: expected one of text, got {given!r}." in printed
