"""The verbs that write task folders. `fsat init` makes a folder, and `fsat add` appends samples to a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fsat_tasks.cli.common import AsJson, TaskName

verbs = typer.Typer()


@verbs.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the new task.", show_default=False)],
    samples: Annotated[Path, typer.Option(help="A .csv, .jsonl or .parquet file of samples.", show_default=False)],
    text: Annotated[str, typer.Option(help="Name of its text column.")] = "text",
    label: Annotated[str, typer.Option(help="Name of its label column.")] = "label",
) -> None:
    """Make a task folder from a file of labelled samples."""
    from fsat_tasks.data.new_task import create_task

    folder = create_task(name, samples, text, label)
    typer.echo(f"Made {folder}. Describe the classes in task.yaml there, then: fsat run {name}")


@verbs.command()
def add(
    task: TaskName,
    file: Annotated[Path, typer.Argument(help="A .csv, .jsonl or .parquet file, such as a review.csv.", show_default=False)],
    text: Annotated[str, typer.Option(help="Name of its text column.")] = "text",
    label: Annotated[str, typer.Option(help="Name of its label column.")] = "label",
    new_label: Annotated[
        list[str] | None,
        typer.Option(help="Allow a label that no sample has yet; may be repeated.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append labelled rows to the samples, as from a review.csv."""
    from fsat_tasks.data.append import add_samples
    from fsat_tasks.errors import DataError
    from fsat_tasks.quality.wording import plural
    from fsat_tasks.tasks.task import load_task

    spec = load_task(task)
    if not file.is_file() or file.suffix not in (".csv", ".jsonl", ".parquet"):
        raise DataError("FILE", "a .csv, .jsonl or .parquet file", repr(str(file)))
    counts = add_samples(spec, file, text, label, new_label or ())
    if as_json:
        typer.echo(json.dumps(counts, indent=2))
        return
    left = f"{counts['already']} already there, {counts['held_out']} in the query file, {counts['unlabelled']} without a label"
    added = f"{plural(counts['added'], 'sample')}, {plural(counts['out_of_scope'], 'out-of-scope text')}"
    typer.echo(f"{task}: added {added}; left out {left}")
    if counts["added"]:
        typer.echo(f"Now: fsat run {task}")
