"""What the verbs share: the types of their arguments, and the store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fsat_tasks.store import Store

__all__ = ["AsJson", "TaskName", "open_store"]

TaskName = Annotated[str, typer.Argument(help="Name of a task folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def open_store() -> Store:
    """The store that FSAT_STORE names, one for the whole call: it remembers which files it has verified."""
    from fsat_tasks.store import Store
    from fsat_tasks.tasks.workspace import Workspace

    return Store(Workspace.from_env().store, caller="dvc" if "DVC_STAGE" in os.environ else "cli")
