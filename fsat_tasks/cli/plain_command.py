"""Help of verbs, in which all arguments and options look alike, and no type of Python is named."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperArgument, TyperCommand

__all__ = ["PlainCommand"]

WORDS = {"str": "TEXT", "list[str]": "TEXT", "int range": "N", "path": "PATH"}
"""Type of an option in typer's help -> word for its value. Choices such as `auto|cpu|cuda` have no word of their own."""


class PlainCommand(TyperCommand):
    """A verb whose usage line is like `fsat diff [OPTIONS] TASK BEFORE [AFTER]`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [one for one in self.get_params(ctx) if isinstance(one, TyperArgument)]
        return ["[OPTIONS]", *map(_usage, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        arguments, options = [], []
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is None:
                continue
            name, text = record
            if isinstance(one, TyperArgument):
                arguments.append((_name(one), text.removesuffix("[required]").rstrip()))
            else:
                options.append((re.sub("<(.*?)>", lambda found: WORDS.get(found[1], found[1]), name), _in_words(text)))
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _in_words(text: str) -> str:
    """Return a help text with the range of a number in words."""
    return re.sub(r"x>=(\d+)", r"\1 or more", re.sub(r"(\d+)<=x<=(\d+)", r"\1 to \2", text))


def _name(argument: TyperArgument) -> str:
    return argument.metavar or str(argument.name).upper()


def _usage(argument: TyperArgument) -> str:
    """Return an argument as in a usage line: in brackets if it may be left out, with dots if it may be repeated."""
    return f"{_name(argument) if argument.required else f'[{_name(argument)}]'}{'' if argument.nargs == 1 else '...'}"
