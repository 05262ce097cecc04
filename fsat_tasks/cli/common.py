"""Argument types that several verbs of the command `fsat` share, and the function that opens the store for a verb."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fsat_tasks.store import Store

__all__ = [
    "AsJson",
    "Device",
    "DeviceName",
    "EncoderName",
    "Out",
    "Seed",
    "Shots",
    "TaskName",
    "Verbose",
    "open_store",
    "overrides",
]


class Device(StrEnum):
    """Values of --device."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


TaskName = Annotated[str, typer.Argument(help="Name of a task folder.", show_default=False)]
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
    typer.Option(help="Also copy the step's files into this folder; for run, the model's files.", show_default=False),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Also print the statistics behind each sentence.")]


def overrides(shots: int | None, encoder: str | None, seed: int | None, device: Device | None) -> dict[str, Any]:
    """Return the options that override task.yaml for one run, in the form that `load_task` takes."""
    return {"shots": shots, "encoder": encoder, "seed": seed, "device": device and device.value}


def open_store() -> Store:
    """Return the store that FSAT_STORE names. A verb calls this once, because a `Store` remembers the files it has verified."""
    from fsat_tasks.store import Store
    from fsat_tasks.tasks.workspace import Workspace

    return Store(Workspace.from_env().store, caller="dvc" if "DVC_STAGE" in os.environ else "cli")
