"""The verbs of the registry: status, history, diff, promote, rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fsat_tasks.cli.common import AsJson, TaskName, model_names, model_versions, task_names
from fsat_tasks.cli.json_output import print_json
from fsat_tasks.cli.next_lines import print_next
from fsat_tasks.cli.streams import say_error
from fsat_tasks.runtime.progress import show_work

if TYPE_CHECKING:
    from fsat_tasks.registry.history import Entry
    from fsat_tasks.registry.registry import Registry

verbs = typer.Typer()

Model = Annotated[
    str,
    typer.Argument(
        help="A version, 4 or more letters of a model's key, or latest, the newest model.",
        show_default=False,
        autocompletion=model_names,
    ),
]
Reason = Annotated[str, typer.Option(help="Reason, for the history.", show_default=False)]
Expected = Annotated[int | None, typer.Option(min=0, help="Move only if this is the champion's version now.", show_default=False)]


@verbs.command()
def status(
    task: Annotated[
        str | None, typer.Argument(help="Name of a task. Default: all tasks.", show_default=False, autocompletion=task_names)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show each task's champion and last run. With --json also figures and files."""
    from fsat_tasks.errors import RegistryError
    from fsat_tasks.registry.status import task_status
    from fsat_tasks.tasks.workspace import Workspace

    workspace = Workspace.from_env()
    if task is not None:
        workspace.task_folder(task)
    rows = [task_status(workspace, name) for name in ([task] if task else workspace.task_names())]
    problems = [row["problem"] for row in rows if "problem" in row]
    exit_code = RegistryError.exit_code if problems else 0
    if as_json:
        print_json({"tasks": rows}, exit_code)
    else:
        from fsat_tasks.cli.registry_tables import print_status

        print_status(rows, reasons=task is not None)
    for problem in problems:
        say_error(f"fsat: {problem}")
    raise typer.Exit(exit_code)


@verbs.command()
def promote(
    task: TaskName,
    model: Model,
    reason: Reason = "",
    expected: Expected = None,
    as_json: AsJson = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Promote it also if its entry is not signed, or if lines of the history were lost."),
    ] = False,
) -> None:
    """Make a model of the history the champion, even a held one."""
    registry = _registry(task)
    before = registry.version(damaged=trust)
    after = registry.promote(model, before if expected is None else expected, _utf8(reason), trust)
    _say(task, before, after, as_json)


@verbs.command()
def rollback(
    task: TaskName,
    to: Annotated[
        int | None,
        typer.Option(
            min=1, help="Version. Default: the one before the champion.", show_default=False, autocompletion=model_versions
        ),
    ] = None,
    reason: Reason = "",
    expected: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the version before the champion."""
    registry = _registry(task)
    before = registry.version()
    after = registry.rollback(before if expected is None else expected, to, _utf8(reason))
    _say(task, before, after, as_json)


@verbs.command()
def history(task: TaskName, as_json: AsJson = False) -> None:
    """Show all decisions and moves of the champion, newest last."""
    from fsat_tasks.registry.next_steps import after_history

    registry = _registry(task)
    entries = registry.history(damaged=not as_json)
    champion = registry.champion(damaged=True)
    next_steps = after_history(task, entries, champion)
    if as_json:
        print_json({"task": task, "champion": champion and champion["version"], "entries": entries, **next_steps.to_json()})
        return
    from fsat_tasks.cli.registry_tables import print_history

    print_history(task, entries)
    registry.champion()  # fails if a line was lost, after what is left was shown
    print_next(next_steps)


@verbs.command()
def diff(
    task: TaskName,
    before: Model,
    after: Annotated[str, typer.Argument(help="A second model, named in the same way.", autocompletion=model_names)] = "latest",
    as_json: AsJson = False,
) -> None:
    """Show how two models differ: answers, data, figures."""
    from fsat_tasks.registry.diff import diff_models

    registry = _registry(task)
    registry.champion()  # fails if a line was lost
    old, new = registry.find(before), registry.find(after)
    with show_work(f"compare two models of {task}"):
        changes = diff_models(registry.store, task, old, new)
    if as_json:
        print_json(changes)
        return
    from fsat_tasks.cli.diff_tables import print_diff

    print_diff(changes)


def _registry(task: str) -> Registry:
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.tasks.workspace import Workspace

    return Registry(Workspace.from_env().store, task)


def _say(task: str, before: int, after: Entry, as_json: bool) -> None:
    from fsat_tasks.registry.next_steps import after_move

    next_steps = after_move(task, before, after["version"])
    if as_json:
        print_json({"task": task, "before": before or None, "champion": after, **next_steps.to_json()})
    else:
        print_next(next_steps)


def _utf8(reason: str) -> str:
    from fsat_tasks.errors import InputError

    if any("\ud800" <= letter <= "\udfff" for letter in reason):
        raise InputError("--reason", "UTF-8", "bytes that are not")
    return reason
