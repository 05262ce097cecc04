"""Argument types that several verbs of the command `fsat` share, and the function that opens the store for a verb."""

from __future__ import annotations

import logging
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fsat_tasks.cli.streams import say_error
from fsat_tasks.runtime import logs
from fsat_tasks.runtime.printable import shown_name

if TYPE_CHECKING:
    from fsat_tasks.store import Store

__all__ = [
    "AnyTaskName",
    "AsJson",
    "Device",
    "DeviceName",
    "EncoderName",
    "Out",
    "Seed",
    "Shots",
    "TaskName",
    "Verbose",
    "check_out",
    "model_names",
    "model_versions",
    "open_store",
    "overrides",
    "shown_path",
    "task_names",
    "warn",
]

log = logging.getLogger(__name__)


def check_out(out: Path | None) -> Path | None:
    """Return the folder of --out. Raises InputError if it is the root folder, which cannot be replaced."""
    if out is not None and not out.is_symlink() and not out.resolve().name:
        from fsat_tasks.errors import InputError

        raise InputError("--out", "a folder", f"{str(out)!r}, the root of all folders", "Name a folder below it.")
    return out


class Device(StrEnum):
    """Values of --device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def task_names(incomplete: str) -> list[str]:
    """Return the names of tasks that begin with some letters, for the completion of a shell."""
    from fsat_tasks.errors import FsatError
    from fsat_tasks.tasks.workspace import Workspace

    try:
        return [name for name in Workspace.from_env().task_names() if name.startswith(incomplete)]
    except FsatError:
        return []


def model_versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the versions of the task on the command line, the newest first, for the completion of a shell."""
    from fsat_tasks.errors import FsatError
    from fsat_tasks.registry.history import moves
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.tasks.workspace import Workspace

    task = ctx.params.get("task") or next(iter(ctx.args), "")  # an option without its value leaves the words as they are
    try:
        entries = Registry(Workspace.from_env().store, task).history(damaged=True)
    except FsatError:
        return []
    versions = sorted({entry["version"] for entry in moves(entries)}, reverse=True)
    return [version for version in map(str, versions) if version.startswith(incomplete)]


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return `latest` and the versions of the task on the command line, for the completion of a shell."""
    return [*(["latest"] if "latest".startswith(incomplete) else []), *model_versions(ctx, incomplete)]


def check_task(name: str) -> str:
    """Return the name of a task. Raises TaskError if it has neither a folder nor a registry that is left of it."""
    from fsat_tasks.errors import TaskError
    from fsat_tasks.registry.registry import Registry
    from fsat_tasks.tasks.workspace import Workspace

    workspace = Workspace.from_env()
    try:
        workspace.task_folder(name)
    except TaskError:
        if not Registry(workspace.store, name).history(damaged=True):
            raise
    return name


AnyTaskName = Annotated[str, typer.Argument(help="Name of a task folder.", show_default=False, autocompletion=task_names)]
"""Name of a task that may have neither a folder nor a registry here."""
TaskName = Annotated[
    str,
    typer.Argument(help="Name of a task folder.", show_default=False, autocompletion=task_names, callback=check_task),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Shots = Annotated[int | None, typer.Option(min=1, help="Samples of each class to use. Default: all.", show_default=False)]
EncoderName = Annotated[
    str | None, typer.Option("--encoder", help="Name of the encoder. Default: the task's.", show_default=False)
]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of all random draws. Default: the task's.", show_default=False)
]
DeviceName = Annotated[Device | None, typer.Option(help="Device to run on. Default: the task's.", show_default=False)]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Also copy the step's files into this folder; for run, the model's files.", callback=check_out, show_default=False
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also print the statistics behind each sentence.")]


def overrides(shots: int | None, encoder: str | None, seed: int | None, device: Device | None) -> dict[str, Any]:
    """Return the options that override task.yaml for one run, in the form that `load_task` takes."""
    return {"shots": shots, "encoder": encoder, "seed": seed, "device": device and device.value}


def shown_path(path: Path) -> str:
    """Return a path as a person types it: from the present folder, if it lies in it."""
    return shown_name(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def warn(message: str) -> None:
    """Print a warning on standard error. With FSAT_LOG=json it is a line of the log."""
    if logs.in_json():
        log.warning("%s", message)
    else:
        say_error(f"warning: {message}")


def open_store() -> Store:
    """Return the store that FSAT_STORE names. A verb calls this once, because a `Store` remembers the files it has verified."""
    from fsat_tasks.store import Store
    from fsat_tasks.tasks.workspace import Workspace

    return Store(Workspace.from_env().store, caller="dvc" if "DVC_STAGE" in os.environ else "cli")
