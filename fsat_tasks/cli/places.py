"""The verbs `fsat path` and `fsat open`, which lead to a model and to a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsat_tasks.cli.common import AsJson, TaskName, model_names
from fsat_tasks.cli.json_output import print_json

if TYPE_CHECKING:
    from fsat_tasks.store import Artefact

verbs = typer.Typer()

MODEL = "A version, 4 or more letters of a model's key, or latest."
REPORT = "report.html"


@verbs.command()
def path(
    task: TaskName,
    model: Annotated[
        str | None, typer.Argument(help=f"{MODEL} Default: the champion.", show_default=False, autocompletion=model_names)
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Print the path of its report instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the folder of a model, for scripts: cp -r "$(fsat path TASK)" models/"""
    if model is None and not report:
        from fsat_tasks.registry.champion_files import champion_model

        found = champion_model(task).path
    else:
        published = _published(task, model, "decision" if report else "model")
        found = published.path / REPORT if report else published.path
    if as_json:
        print_json({"task": task, "path": str(found)})
    else:
        typer.echo(found)


@verbs.command("open")
def open_report(
    task: TaskName,
    model: Annotated[str, typer.Argument(help=MODEL, autocompletion=model_names)] = "latest",
    as_json: AsJson = False,
) -> None:
    """Open the report of a model in the browser, and print its path."""
    found = _published(task, model, "decision").path / REPORT
    opened = _open(found)
    if as_json:
        print_json({"task": task, "path": str(found), "opened": opened})
    else:
        typer.echo(found)


def _published(task: str, model: str | None, what: str) -> Artefact:
    """Return the decision or the model that an entry of the history names; without a name, the champion's entry."""
    from fsat_tasks.errors import RegistryError
    from fsat_tasks.registry.published import find_published
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.tasks.workspace import Workspace

    registry = Registry(Workspace.from_env().store, task)
    champion = registry.champion()  # fails if a line was lost
    entry = champion if model is None else registry.find(model)
    if entry is None:
        raise RegistryError(f"task {task!r}", "a published model", "none yet", f"Make one with: fsat run {task}.")
    return find_published(registry.store, task, entry[what])


def _open(report: Path) -> bool:
    """Open a page in the browser, and return whether there is one."""
    import webbrowser

    try:
        return webbrowser.open(report.as_uri())
    except webbrowser.Error:
        return False
