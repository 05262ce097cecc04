"""The verbs of the registry: status, history, diff, promote, rollback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fsat_tasks.cli.common import AsJson

if TYPE_CHECKING:
    from fsat_tasks.registry.registry import Registry

verbs = typer.Typer()

TaskName = Annotated[str, typer.Argument(help="Name of a task.", show_default=False)]
Model = Annotated[str, typer.Argument(help="A version, or 8 or more letters of a model's key.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Reason, for the history.", show_default=False)]
Expected = Annotated[int | None, typer.Option(min=0, help="Move only if this is the champion's version now.", show_default=False)]


@verbs.command()
def status(
    task: Annotated[str | None, typer.Argument(help="Name of a task. Default: all tasks.")] = None, as_json: AsJson = False
) -> None:
    """Show each task's champion. With --json also its figures and files."""
    from fsat_tasks.registry.status import task_status
    from fsat_tasks.tasks.workspace import Workspace

    workspace = Workspace.from_env()
    if task is not None:
        workspace.task_folder(task)
    rows = [task_status(workspace, name) for name in ([task] if task else workspace.task_names())]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from fsat_tasks.cli.registry_tables import print_status

    print_status(rows)


@verbs.command()
def promote(
    task: TaskName,
    model: Model,
    reason: Reason = "",
    expected: Expected = None,
    trust: Annotated[bool, typer.Option("--trust", help="Promote it also if FSAT_SIGNING_KEY did not sign its entry.")] = False,
) -> None:
    """Make a model of the history the champion, even a held one."""
    registry = _registry(task)
    before = registry.version()
    after = registry.promote(model, before if expected is None else expected, _utf8(reason), trust)
    _say(task, before, after["version"])


@verbs.command()
def rollback(
    task: TaskName,
    to: Annotated[
        int | None, typer.Option(min=1, help="Version. Default: the one before the champion.", show_default=False)
    ] = None,
    reason: Reason = "",
    expected: Expected = None,
) -> None:
    """Go back to the version before the champion."""
    registry = _registry(task)
    before = registry.version()
    after = registry.rollback(before if expected is None else expected, to, _utf8(reason))
    _say(task, before, after["version"])


@verbs.command()
def history(task: TaskName, as_json: AsJson = False) -> None:
    """Show all decisions and moves of the champion, newest last."""
    from fsat_tasks.tasks.workspace import Workspace

    registry = _registry(task)
    entries = registry.history()
    if not entries:  # fail if the task does not exist, for example because the name is mistyped
        Workspace.from_env().task_folder(task)
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
        return
    from fsat_tasks.cli.registry_tables import print_history

    print_history(task, entries, registry.version())


@verbs.command()
def diff(
    task: TaskName,
    before: Model,
    after: Annotated[str | None, typer.Argument(help="A second model, named in the same way. Default: the champion.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how two models differ: labels, figures, data."""
    from fsat_tasks.registry.diff import diff_models

    registry = _registry(task)
    old = registry.find(before)
    new = registry.find(after if after is not None else str(registry.version()))
    changes = diff_models(registry.store, task, old, new)
    if as_json:
        typer.echo(json.dumps(changes, indent=2))
        return
    from fsat_tasks.cli.registry_tables import print_diff

    print_diff(changes)


def _registry(task: str) -> Registry:
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.tasks.workspace import Workspace

    return Registry(Workspace.from_env().store, task)


def _say(task: str, before: int, after: int) -> None:
    was = " already" if before == after else f", was version {before}" if before else ""
    typer.echo(f"{task}: the champion is version {after}{was}.")


def _utf8(reason: str) -> str:
    from fsat_tasks.errors import InputError

    if any("\ud800" <= letter <= "\udfff" for letter in reason):
        raise InputError("--reason", "UTF-8", "bytes that are not")
    return reason
