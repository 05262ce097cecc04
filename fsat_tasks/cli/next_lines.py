"""The last lines of a verb: what happened, and the commands that come next."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fsat_tasks.runtime.printable import printable, shell_command

if TYPE_CHECKING:
    from fsat_tasks.registry.next_steps import NextSteps

__all__ = ["command_again", "print_lines", "print_next"]

COLOURS = {"promoted": "green", "unchanged": "green", "held": "red", "overruled": "yellow", "asked": "yellow", "kept": "yellow"}
"""Ending of a run -> colour of its sentence on a terminal."""
NOT_AGAIN = ("--approve", "--dry-run", "--json", "--verbose")
"""Options that a repeated command does without."""


def print_next(steps: NextSteps, ending: str = "") -> None:
    """Print what happened and what comes next.

    Args:
        ending: name of the ending of a run, which gives the sentence its colour.
    """
    print_lines(steps.says, steps.hint, steps.commands, COLOURS.get(ending, ""))


def print_lines(says: str, hint: str | None, commands: Sequence[tuple[str, str]], colour: str = "") -> None:
    """Print a sentence, a hint if there is one, and each command in a line of its own, so that it can be pasted."""
    from rich.text import Text

    from fsat_tasks.cli.run_tables import terminal

    terminal().print(Text(printable(says), colour), soft_wrap=False)
    if hint:
        terminal().print(hint, markup=False, soft_wrap=False)
    width = max((len(command) for command, _ in commands), default=0)
    for command, purpose in commands:
        terminal().print(f"  {command:<{width}}  # {purpose}", markup=False)


def command_again() -> str:
    """Return this process's command line as a person would type it again."""
    return shell_command(["fsat", *(word for word in sys.argv[1:] if word not in NOT_AGAIN)])
