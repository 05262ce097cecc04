"""The group of all verbs. A word that is no verb is answered with the verb that is meant."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException

__all__ = ["VerbGroup"]

NEAR = {
    "check": "validate",
    "classify": "predict",
    "compare": "diff",
    "create": "init",
    "fit": "run",
    "label": "apply",
    "list": "status",
    "log": "history",
    "new": "init",
    "report": "open",
    "revert": "rollback",
    "test": "evaluate",
    "train": "run",
    "undo": "rollback",
}
"""Word that people try -> the verb that does this. Words with a typing error are found by typer itself."""


class VerbGroup(TyperGroup):
    """A group of verbs that also knows other words for them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            if args[0] in NEAR:
                error.message = f"No such command {args[0]!r}. Did you mean {NEAR[args[0]]!r}?"
            raise
