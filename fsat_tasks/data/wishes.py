"""Options of a new task, and the command `fsat init` that has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fsat_tasks.runtime.printable import shell_command

__all__ = ["Wishes", "init_command"]


@dataclass(frozen=True)
class Wishes:
    """Options of a new task.

    Args:
        text, label: names of the columns of the samples; by default those whose names say what they have.
        query_text, query_label: names of the columns of the query file; by default those of the samples, or as above.
        target: what a label is.
        separator: character between the labels of a cell, if a row has several.
        strip_html: whether to remove tags of HTML from the texts.
    """

    text: tuple[str, ...] = ()
    label: str | None = None
    query_text: tuple[str, ...] = ()
    query_label: str | None = None
    target: str = "one_label"
    separator: str | None = None
    strip_html: bool = False


def init_command(name: str, files: Mapping[str, Path], wishes: Wishes) -> str:
    """Return the command that makes a task.

    Args:
        name: name of the task.
        files: key of task.yaml, such as `samples` -> file or folder.
    """
    options = [
        *((f"--{key.replace('_', '-')}", str(path)) for key, path in files.items()),
        *(("--text", column) for column in wishes.text),
        ("--label", wishes.label),
        *(("--query-text", column) for column in wishes.query_text),
        ("--query-label", wishes.query_label),
        ("--target", None if wishes.target == Wishes.target else wishes.target),
        ("--separator", wishes.separator),
    ]
    words = [word for option, value in options if value is not None for word in (option, value)]
    return shell_command(["fsat", "init", name, *words, *(["--strip-html"] if wishes.strip_html else [])])
